"""Iterations of a whole algorithm: what is collected, trained, frozen and counted."""

import numpy as np
import pytest

from marl_app.league.players import Player
from marl_app.rllib.training.assignments import fresh_slots
from marl_app.store.codec import decode
from tests.rllib.runs import blob_weights, equal, matches, running, watch

pytestmark = pytest.mark.usefixtures("ray_here")


def test_frozen_players_do_not_change_while_the_learner_trains(tmp_path):
    """A frozen opponent's weights change neither in the store nor in the slot that plays them."""
    overrides = ("league/matchmaker=uniform", "league.schedule.agent_steps=600", "algorithm.lr=0.01")
    with running(tmp_path, "env=tic_tac_toe", *overrides) as algorithm:
        slots = algorithm.env_runner_group.local_env_runner._player_networks.opponents
        files, checked, learned = {}, 0, []
        for _ in range(14):
            algorithm.train()
            learned.append(algorithm.weights.read("main"))
            files |= {path: path.read_bytes() for path in (tmp_path / "snapshots").glob("?" * 64) if path not in files}
            stacked = slots._weights_by_network["player"]._stack
            for slot, digest in enumerate(slots.players):
                if digest is None:
                    continue
                stored, _ = decode(algorithm.store.get(digest))
                for name, weights in stacked.items():
                    np.testing.assert_array_equal(weights[slot].numpy(), stored[f"player/{name}"])
                    checked += 1
        assert all(path.read_bytes() == data for path, data in files.items())
        pool = algorithm.league.snapshots
        assert len(pool) >= 4 and len(files) == len(pool) and checked > 50
        # A snapshot equals the learner's weights after exactly one iteration, and the learner has changed since.
        for snapshot in pool:
            assert sum(equal(blob_weights(algorithm, snapshot), weights) for weights in learned) == 1
        assert not any(equal(learned[-1], blob_weights(algorithm, snapshot)) for snapshot in pool[:-1])


def test_a_snapshots_metadata(tmp_path):
    with running(tmp_path, "env=tic_tac_toe") as algorithm:
        for _ in range(8):
            algorithm.train()
        pool = algorithm.league.snapshots
        assert [snapshot.player for snapshot in pool] == [Player("main", n) for n in range(len(pool))]
        parent = None
        for snapshot in pool:
            _, facts = decode(algorithm.store.get(snapshot.digest))
            assert facts["player"] == snapshot.player.id
            assert facts["parent"] == snapshot.parent == parent
            assert facts["agent_steps"] == snapshot.agent_steps
            assert facts["agents"] == ["player_1", "player_2"]
            parent = snapshot.digest


def test_counters_report_and_records_agree(tmp_path):
    with running(tmp_path, "env=tic_tac_toe") as algorithm:
        fragments = watch(algorithm, "on_fragment")
        for iteration in range(1, 7):
            algorithm.train()
            collected = [arguments["fragment"] for arguments in fragments]
            counters, report = algorithm.counters, algorithm.report
            assert counters.env_steps == report["steps/env_steps"] == 512 * iteration
            assert counters.trained_agent_steps == sum(fragment.rows for fragment in collected)
            assert counters.matches == sum(fragment.matches for fragment in collected)
            assert counters.updates == algorithm.iteration == report["iteration"] == iteration
            assert report["staleness/updates"] == 0
            assert report["learner/batch_rows"] == collected[-1].rows
        algorithm.records.flush()
        recorded = matches(tmp_path)
        played = recorded[["wins", "draws", "losses"]].to_numpy().sum()
        assert played == sum(fragment.outcomes.matches for fragment in collected) == algorithm.league.matches
        of_self = recorded[recorded.opponent == "main"]
        last = of_self[of_self.iteration == 6][["wins", "draws", "losses"]].sum()
        assert algorithm.stats.self_play == (last.sum(), last.wins + last.draws / 2)
        assert report["matches/first_side_score"] == pytest.approx((last.wins + last.draws / 2) / last.sum())
        share = last.sum() / recorded[recorded.iteration == 6][["wins", "draws", "losses"]].to_numpy().sum()
        assert report["league/self_play_share"] == pytest.approx(share)
        assert sorted(recorded.iteration.unique()) == [1, 2, 3, 4, 5, 6]
        assert 0.65 < report["league/self_play_share"] < 0.95  # 0.8 by the matchmaker, in some 70 matches


def test_figures_per_match_with_three_sides(tmp_path):
    # A match of three sides has two results, one per opposing side. All of it is self-play: a share of 1.
    game = ("env=openspiel", "env.game='kuhn_poker(players=3)'", "league/matchmaker=latest")
    with running(tmp_path, *game, "runtime.num_envs_per_env_runner=16") as algorithm:
        algorithm.train()
        report = algorithm.report
        assert report["league/self_play_share"] == 1
        assert report["matches/first_side_score"] == pytest.approx(0.5, abs=0.25)
        algorithm.records.flush()
        recorded = matches(tmp_path)
        played = recorded[["wins", "draws", "losses"]].to_numpy().sum()
        assert played == 2 * algorithm.counters.matches == 2 * algorithm.league.matches
        assert report["matches/length"] == pytest.approx(recorded.steps.sum() / played)


def watch_batches(algorithm):
    """Return a list that collects (module id, columns) of every later update, as the learner trains on them."""
    batches, learner = [], algorithm.learner_group._learner
    after = learner.after_gradient_based_update

    def watched(**arguments):
        batches.append(learner._batch)
        after(**arguments)

    learner.after_gradient_based_update = watched
    return batches


def test_advantages_are_standardized_over_the_whole_batch(tmp_path):
    with running(tmp_path, "env=tic_tac_toe") as algorithm:
        batches = watch_batches(algorithm)
        fragments = watch(algorithm, "on_fragment")
        algorithm.train()
        [(_, columns)], [arguments] = batches, fragments
        raw = arguments["fragment"].batches["player"]
        np.testing.assert_allclose(
            columns["advantages"],
            (raw["advantages"] - raw["advantages"].mean()) / raw["advantages"].std(),
            rtol=1e-4,
            atol=1e-5,
        )
        assert set(columns) == {
            "obs",
            "action_mask",
            "actions",
            "action_logp",
            "advantages",
            "value_targets",
        }
        assert all(len(column) == arguments["fragment"].rows for column in columns.values())


def test_an_update_without_rows_changes_nothing(tmp_path):
    # Fragments of one step: after the first one every row still waits for its agent's next turn, so none is complete.
    overrides = ("algorithm.train_batch_size_per_learner=32", "algorithm.minibatch_size=32", "env.openings=null")
    with running(tmp_path, "env=tic_tac_toe", *overrides) as algorithm:
        before = algorithm.weights.read("main")
        algorithm.train()
        assert algorithm.stats.rows == 0
        assert equal(algorithm.weights.read("main"), before)
        # The optimizer makes no step either: with gradients of 0, Adam's moments would still move the weights.
        [optimizer] = algorithm.learner_group._learner._named_optimizers.values()
        assert not optimizer.state_dict()["state"]
        assert "learner/policy_loss" not in algorithm.report
        for _ in range(4):
            algorithm.train()
        # One decision per match and step; the last row of every match that did not just end is still incomplete.
        assert algorithm.counters.trained_agent_steps == 32 * 5 - (32 - algorithm.stats.matches)
        after = algorithm.weights.read("main")
        assert not equal(after, before)
        assert all(np.isfinite(value).all() for value in after.values())


def test_each_network_of_a_player_is_trained_on_its_own_rows(tmp_path):
    # Two rows against three columns: different spaces, so two networks; snapshots have both.
    game = ["env=rock_paper_scissors", "env.payoff=[[0,1,2],[3,4,5]]", "league/matchmaker=uniform"]
    with running(tmp_path, *game) as algorithm:
        batches = watch_batches(algorithm)
        before = algorithm.weights.read("main")
        for _ in range(4):
            algorithm.train()
        assert algorithm.counters.updates == 4
        assert [module for module, _ in batches] == ["main.row", "main.column"] * 4
        rows = [len(columns["obs"]) for _, columns in batches]
        # The first update is self-play: rows of both agents of 512 matches. Later each agent has half of the matches.
        assert rows[:2] == [512, 512]
        assert rows[-2] + rows[-1] == 512 and 150 < rows[-1] < 362
        after = algorithm.weights.read("main")
        assert {name.partition("/")[0] for name in after} == {"row", "column"}
        for network in ("row", "column"):
            assert any(not np.array_equal(after[name], before[name]) for name in after if name.startswith(network))
        assert blob_weights(algorithm, algorithm.league.snapshots[0]).keys() == after.keys()


def test_different_spaces_through_an_adapter(tmp_path):
    overrides = ("env=pettingzoo", "env.name=mpe2.simple_speaker_listener_v4", "env.sides=[['*']]")
    sizes = (
        "runtime.num_envs_per_env_runner=4",
        "algorithm.train_batch_size_per_learner=120",
        "algorithm.minibatch_size=60",
    )
    with running(tmp_path, "league/matchmaker=latest", *overrides, *sizes) as algorithm:
        before = algorithm.weights.read("main")
        for _ in range(2):
            algorithm.train()
        after = algorithm.weights.read("main")
        networks = {name.partition("/")[0] for name in after}
        assert len(networks) == 2
        for network in networks:
            assert any(
                not np.array_equal(after[name], before[name]) for name in after if name.startswith(f"{network}/")
            )
        # 4 matches of 25 steps, cut off: 30 steps end 4, and both agents act in every step.
        assert algorithm.counters.trained_agent_steps == 2 * algorithm.counters.env_steps == 2 * 240
        assert len(algorithm.league.snapshots) == 1 and algorithm.league.matches == 0


@pytest.mark.parametrize(("opponents", "fresh"), [(3, 4), (4, 4), (5, 2), (50, 2)])
def test_the_number_of_new_opponents_per_request(opponents, fresh):
    # All four slots if the opponents fit, else half: in the other half matches against earlier opponents finish.
    assert fresh_slots(4, opponents) == fresh


@pytest.mark.parametrize(
    ("stop", "share"),
    [
        (["stop.iterations=4"], 0.5),
        (["stop.iterations=4", "stop.env_steps=1280"], 0.8),  # the limit that comes first
        (["stop.iterations=1"], 1.0),  # past the limit: at most 1
        ([], None),
    ],
)
def test_the_share_of_the_run_that_is_done(tmp_path, stop, share):
    with running(tmp_path, "env=rock_paper_scissors", *stop) as algorithm:
        algorithm.train()
        algorithm.train()
        assert algorithm.share_done() == share


def test_observation_statistics_cover_the_training_rows_and_are_part_of_the_weights(tmp_path):
    with running(tmp_path, "env=tic_tac_toe", "model.normalize_observations=true") as algorithm:
        fragments = watch(algorithm, "on_fragment")
        for _ in range(4):
            algorithm.train()
        seen = np.concatenate([arguments["fragment"].batches["player"]["obs"] for arguments in fragments])
        weights, at = algorithm.weights.read("main"), "player/policy_head.encoder.0"
        assert weights[f"{at}.count"] == len(seen) == algorithm.counters.trained_agent_steps
        np.testing.assert_allclose(weights[f"{at}.mean"], seen.mean(axis=0), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(weights[f"{at}.variance"], seen.var(axis=0), rtol=1e-3, atol=1e-4)
        # A snapshot keeps the statistics of its freeze, and the slot that plays it has them.
        [snapshot, *_] = algorithm.league.snapshots
        frozen = blob_weights(algorithm, snapshot)
        assert 0 < frozen[f"{at}.count"] < len(seen)
        slots = algorithm.env_runner_group.local_env_runner._player_networks.opponents
        stacked = slots._weights_by_network["player"]._stack["policy_head.encoder.0.mean"]
        np.testing.assert_array_equal(stacked[slots.slot_of(snapshot.digest)], frozen[f"{at}.mean"])


def test_independent_networks_are_trained_separately(tmp_path):
    with running(tmp_path, "env=tic_tac_toe", "policies=independent", "algorithm.critic=state") as algorithm:
        fragments = watch(algorithm, "on_fragment")
        before = algorithm.weights.read("main")
        for _ in range(4):
            algorithm.train()
        after = algorithm.weights.read("main")
        for name in ("player_1", "player_2"):
            weights = f"{name}/policy_head.linear.weight"
            assert (before[weights] != after[weights]).any()
        assert (after["player_1/policy_head.linear.weight"] != after["player_2/policy_head.linear.weight"]).any()
        rows = {name: len(batch["obs"]) for name, batch in fragments[-1]["fragment"].batches.items()}
        assert rows.keys() == {"player_1", "player_2"} and min(rows.values()) > 100
        assert algorithm.report["learner/batch_rows"] == sum(rows.values())
        assert len(algorithm.league.snapshots) >= 1
