"""TD(lambda) with afterstates: it learns to play, explores by its schedule, and its runs resume."""

import numpy as np
import pytest

from marl_app.assembly.training import build
from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.envs.tic_tac_toe import TicTacToe
from marl_app.evaluation.solved import value_preserving_moves
from marl_app.players.agent import Agent
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.tasks.train import train
from tests.rllib.runs import SMALL_RUN, blob_weights, running

BASE = (
    *(line for line in SMALL_RUN if not line.startswith(("model.", "algorithm."))),
    "env=tic_tac_toe",
    "algorithm=td",
    "model=afterstates",
    "algorithm.train_batch_size_per_learner=512",
    "algorithm.minibatch_size=128",
)


def moves_kept(algorithm):
    """Return the share of greedy moves that keep the value, in all solved positions of tic-tac-toe."""
    agent = Agent(algorithm.snapshots.encode("main"))
    return value_preserving_moves(TicTacToe, [agent], np.random.default_rng(0)).share


@pytest.mark.timeout(120)
def test_it_learns_tic_tac_toe_in_seconds(tmp_path, ray_here):
    """With a table of all 3^9 boards, shared by eight views. Random moves keep the value in 0.62 of the positions.

    Every match is against a snapshot, which explores too: otherwise few positions would be visited.
    """
    explores = ("algorithm.temperature=0.1", "algorithm.play_temperature=0.1")
    with running(tmp_path, *explores, base=BASE) as algorithm:
        before = moves_kept(algorithm)
        for _ in range(40):
            algorithm.train()
        assert before < 0.8 and moves_kept(algorithm) > 0.95


def temperature_of(agent):
    (module,) = agent._modules.values()
    return float(module.policy_head.linear.temperature)


def test_env_runners_explore_by_the_schedule_and_snapshots_play_at_their_own_temperature(tmp_path, ray_here):
    overrides = ("algorithm.temperature=[[0,0.2],[2048,0.1]]", "algorithm.play_temperature=0.03")
    with running(tmp_path, *overrides, base=BASE) as algorithm:
        played, reported = [], []
        for _ in range(5):
            algorithm.train()
            (module,) = algorithm.env_runner._player_networks.modules.values()
            played.append(float(module.policy_head.linear.temperature))
            reported.append(algorithm.report["exploration/temperature"])
        np.testing.assert_allclose(played, [0.2, 0.175, 0.15, 0.125, 0.1], rtol=1e-6)  # 512 env steps per iteration
        np.testing.assert_allclose(reported, [0.175, 0.15, 0.125, 0.1, 0.1], rtol=1e-6)
        newest = algorithm.league.view.snapshots_of("main")[-1]
        (kept,) = [v for k, v in blob_weights(algorithm, newest).items() if k.endswith("temperature")]
        assert kept == np.float32(0.03)


def test_a_resumed_run_plays_at_the_temperature_of_its_configuration(tmp_path):
    lines = [*BASE, "callbacks=[league,checkpoint]"]
    train(load([*lines, "algorithm.play_temperature=0.1", "stop.iterations=2"], output_dir=str(tmp_path)))
    saved = Agent(latest_checkpoint(tmp_path / "checkpoints").players["main"])
    changed = ["algorithm.play_temperature=0.02", "stop.iterations=4", f"resume={tmp_path}"]
    train(load([*lines, *changed], output_dir=str(tmp_path)))
    resumed = Agent(latest_checkpoint(tmp_path / "checkpoints").players["main"])
    assert temperature_of(saved) == pytest.approx(0.1) and temperature_of(resumed) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model=mlp"],
            "algorithm=td learns values of actions, which this network does not have: use model=afterstates",
        ),
        (["env=rock_paper_scissors"], "model=afterstates needs a board game whose environment states"),
        (["algorithm.normalize_rewards=true"], "algorithm.normalize_rewards=true: values are in units of the rewards"),
        (["algorithm.temperature=0"], "algorithm.temperature"),
        (["algorithm.temperature=[[0,0.1],[100,0]]"], "give temperatures > 0"),
        (["algorithm.play_temperature=0"], "algorithm.play_temperature"),
        (["model.windows=[[4]]"], r"model.windows: \[4\] is not \[height, width\]"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        build(load([*BASE, *overrides], output_dir=str(tmp_path)))


def test_ppo_trains_the_same_network(tmp_path, ray_here):
    """Its policy loss and its critic reach the tables: more moves keep their value after a few updates."""
    ppo = ["algorithm=ppo" if line == "algorithm=td" else line for line in BASE]
    with running(tmp_path, "algorithm.num_epochs=2", base=ppo) as algorithm:
        before = moves_kept(algorithm)
        for _ in range(30):
            algorithm.train()
        assert before < 0.8 and moves_kept(algorithm) > 0.85
