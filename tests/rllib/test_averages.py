"""`league.freeze=average`: the average of a learner's weights is what is evaluated, frozen and saved."""

import numpy as np
import pytest

import marl_app
from marl_app.players.agent import Agent
from marl_app.rllib.training.checkpoint import load_checkpoint, save_checkpoint
from marl_app.rllib.training.weights import averaged
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.store.codec import decode
from tests.rllib.runs import SMALL_TEAM, running

RUN = ("env=tic_tac_toe", "league.freeze=average", "league.average_rate=0.25", "algorithm.lr=0.01")


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_an_average_moves_by_its_rate():
    found = averaged(
        {"w": np.zeros(2, np.float32), "count": np.array(1)},
        {"w": np.full(2, 4, np.float32), "count": np.array(2)},
        0.25,
    )
    assert found["w"].tolist() == [1, 1] and found["w"].dtype == np.float32 and found["count"] == 2


@pytest.mark.usefixtures("ray_here")
def test_the_average_is_frozen_and_evaluated_and_training_goes_on_from_the_weights(tmp_path):
    with running(tmp_path, *RUN) as algorithm:
        average = algorithm.weights.read("main")
        for _ in range(4):
            algorithm.train()
            trained = algorithm.weights.read("main")
            # What was frozen in this iteration is the average after its update.
            average = averaged(average, trained, 0.25)
            newest = algorithm.league.snapshots[-1]
            frozen, metadata = decode(algorithm.store.get(newest.digest))
            if metadata["env_steps"] == algorithm.counters.env_steps:
                assert all(np.allclose(frozen[name], average[name], atol=1e-6) for name in average)
        assert equal(decode(algorithm.snapshots.encode("main"))[0], algorithm.weights.averages["main"])
        assert not equal(trained, algorithm.weights.averages["main"])
        save_checkpoint(algorithm, tmp_path / "checkpoints", keep=1)
        saved_average = dict(algorithm.weights.averages["main"])
    # The player of the run is the average.
    agent, board = marl_app.load_agent(tmp_path), np.zeros((3, 3, 2), np.int8)
    played = agent.probabilities(board)
    assert equal(decode(latest_checkpoint(tmp_path / "checkpoints").players["main"])[0], saved_average)
    with running(tmp_path, *RUN) as algorithm:
        load_checkpoint(algorithm, latest_checkpoint(tmp_path / "checkpoints"))
        assert equal(algorithm.weights.read("main"), trained)
        assert equal(algorithm.weights.averages["main"], saved_average)
        assert np.array_equal(Agent(algorithm.snapshots.encode("main")).probabilities(board), played)
        algorithm.train()
    # Without averages the run goes on from the weights, too.
    with running(tmp_path, *RUN, "league.freeze=weights") as algorithm:
        load_checkpoint(algorithm, latest_checkpoint(tmp_path / "checkpoints"))
        assert equal(algorithm.weights.read("main"), trained) and not algorithm.weights.averages
        assert equal(decode(algorithm.snapshots.encode("main"))[0], trained)


@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize("poisoned", ["average", "weights"])
def test_a_checkpoint_with_weights_that_are_not_finite_changes_no_learner(tmp_path, poisoned):
    # main is restored first: it must wait until the weights of rival are checked, too.
    two = (*RUN, "+league.learners.rival={role: main_agent}")
    with running(tmp_path, *two) as algorithm:
        algorithm.train()
        weights = algorithm.weights.read("rival")
        name = next(iter(weights))
        weights[name] = np.full_like(weights[name], np.nan)
        if poisoned == "average":
            algorithm.weights.averages["rival"] = weights
        else:
            average = algorithm.weights.averages["rival"]
            algorithm.weights.write("rival", weights)
            algorithm.weights.averages["rival"] = average
        trained = algorithm.weights.read("main")
        save_checkpoint(algorithm, tmp_path / "checkpoints", keep=1)
    with running(tmp_path, *two) as algorithm:
        before, average = algorithm.weights.read("main"), algorithm.weights.averages["main"]
        assert not equal(before, trained)
        with pytest.raises(ValueError, match="weights of rival that are not finite"):
            load_checkpoint(algorithm, latest_checkpoint(tmp_path / "checkpoints"))
        assert equal(algorithm.weights.read("main"), before)
        assert equal(algorithm.weights.averages["main"], average)


@pytest.mark.usefixtures("ray_here")
def test_a_reset_begins_the_average_again(tmp_path):
    with running(tmp_path, *RUN) as algorithm:
        for _ in range(3):
            algorithm.train()
        snapshot = algorithm.league.snapshots[0]
        algorithm.snapshots.reset("main", snapshot.player.id)
        assert equal(algorithm.weights.averages["main"], decode(algorithm.store.get(snapshot.digest))[0])


@pytest.mark.usefixtures("ray_here")
def test_other_algorithms_have_averages_too(tmp_path):
    with running(tmp_path, "league.freeze=average", base=SMALL_TEAM) as algorithm:
        for _ in range(3):
            algorithm.train()
        assert algorithm.weights.averages.keys() == {"main"}
        assert Agent(algorithm.snapshots.encode("main"))
