"""Whole runs of value decomposition: collection, learning, checkpoints and resuming."""

import json

import numpy as np
import pytest
import torch

from marl_app.assembly.training import build
from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.envs.two_step import TwoStep
from marl_app.evaluation.team import evaluate_team
from marl_app.players.agent import Agent
from marl_app.players.modules.actor_critic import LENGTHS
from marl_app.rllib.team_q.collector import CLOSING, TEAM
from marl_app.rllib.team_q.learner import TeamLearner
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.tasks.train import train
from tests.rllib.runs import SMALL_TEAM, running

pytestmark = [pytest.mark.usefixtures("ray_here"), pytest.mark.timeout(120)]

CALLBACKS = "callbacks=[league,metrics,checkpoint,progress]"


def team(folder, *overrides):
    """Return a small algorithm with a team of two agents."""
    return running(folder, *overrides, base=SMALL_TEAM)


@pytest.mark.parametrize(("mixer", "best"), [("qmix", 8), ("vdn", 7)])
@pytest.mark.parametrize("seed", [0])
def test_qmix_solves_the_two_step_game_and_vdn_cannot(tmp_path, mixer, best, seed):
    """Rashid et al., 2018, section 5: random actions in training, greedy ones in evaluation."""
    with team(tmp_path, f"algorithm.mixer={mixer}", f"seed={seed}") as algorithm:
        for _ in range(150):
            algorithm.train()
        agent = Agent(algorithm.snapshots.encode("main"))
        result = evaluate_team(TwoStep, agent, 4, np.random.default_rng(0), greedy=False)
        assert result.agent_return == best
        assert abs(algorithm.report["matches/return"] - 5) < 2  # expected return of random actions: (7 + 2.5) / 2


def test_agents_that_leave_are_refused_at_the_start(tmp_path):
    with pytest.raises(ConfigError, match=r"algorithm.mixer=qmix: .* some leave or join later: use algorithm=mappo"):
        build(load([*SMALL_TEAM, "env._target_=tests.rllib.games.Leaves"], output_dir=str(tmp_path)))


@pytest.mark.parametrize("choice", ["policies=independent", "model=gru", "env=lbf_8x8_2p_2f_coop"])
def test_networks_memories_and_masks(tmp_path, choice):
    sizes = ["runtime.num_envs_per_env_runner=8", "algorithm.train_batch_size_per_learner=480"]
    model = ["model.memory=8"] if choice == "model=gru" else []
    with team(tmp_path, choice, *sizes, *model) as algorithm:
        before = algorithm.weights.read("main")
        for _ in range(3):
            algorithm.train()
        after = algorithm.weights.read("main")
        assert algorithm.report["learner/grad_norm"] > 0 and np.isfinite(algorithm.report["learner/td_error"])
        trained = {name.split("/")[0] for name in before if not np.array_equal(before[name], after[name])}
        assert trained == {network.name for network in algorithm.spec.networks}
        assert all((after[f"{network}/epsilon"] == 0) for network in trained)  # saved players do not explore
        held = algorithm.replay.sample(50, np.random.default_rng(0))
        closing, ends = held[TEAM][CLOSING], held[TEAM]["terminateds"]
        last = np.cumsum(held[TEAM][LENGTHS]) - 1
        assert (closing | ends).nonzero()[0].tolist() == last.tolist()
        for columns in (held[name] for name in trained):
            if "action_mask" in columns:
                legal = np.take_along_axis(columns["action_mask"], columns["actions"][..., None], 2)[..., 0]
                assert legal[~closing].all() and not columns["action_mask"].all()


@pytest.mark.parametrize("bootstrap", [False, True])
def test_a_truncated_match_is_terminal_or_bootstrapped(tmp_path, bootstrap):
    """Foraging matches that are truncated after three steps: terminal, or bootstrapped from the last observation."""
    short = ("env=lbf_8x8_2p_2f_coop", "env.max_episode_steps=3", "algorithm.train_batch_size_per_learner=96")
    with team(tmp_path, *short, f"algorithm.bootstrap_truncated={bootstrap}") as algorithm:
        algorithm.train()
        columns = algorithm.replay.sample(20, np.random.default_rng(0))[TEAM]
        last = np.cumsum(columns[LENGTHS]) - 1
        if bootstrap:
            assert set(columns[LENGTHS]) == {4} and columns[CLOSING][last].all() and not columns["terminateds"].any()
        else:
            assert set(columns[LENGTHS]) == {3} and columns["terminateds"][last].all() and not columns[CLOSING].any()


def test_epsilon_follows_its_schedule_into_the_env_runner(tmp_path):
    with team(tmp_path, "algorithm.epsilon=[[0,1.0],[128,0.5],[256,0]]") as algorithm:
        runner = algorithm.env_runner_group.local_env_runner
        found = []
        for _ in range(5):
            algorithm.train()
            found.append((algorithm.report["exploration/epsilon"], float(runner.module["main"].epsilon)))
        # The report holds the epsilon of the next collection; an iteration has 64 env steps.
        assert found == [(0.75, 1.0), (0.5, 0.75), (0.25, 0.5), (0.0, 0.25), (0.0, 0.0)]


def test_learning_waits_for_experience(tmp_path):
    with team(tmp_path, "algorithm.num_steps_sampled_before_learning_starts=150") as algorithm:
        start = algorithm.weights.read("main")
        algorithm.train()
        algorithm.train()
        assert algorithm.counters.updates == 0 and algorithm.replay.rows == 128
        assert all(np.array_equal(start[name], value) for name, value in algorithm.weights.read("main").items())
        algorithm.train()
        assert algorithm.counters.updates == 1 and algorithm.replay.rows == 192


def test_a_resumed_run_fills_its_buffer_and_goes_on(tmp_path):
    lines = [*SMALL_TEAM, CALLBACKS, "callbacks.metrics.every_seconds=0"]
    train(load([*lines, "stop.iterations=4"], output_dir=str(tmp_path)))
    saved = latest_checkpoint(tmp_path / "checkpoints")
    train(load([*lines, "stop.iterations=6", f"resume={tmp_path}"], output_dir=str(tmp_path)))
    progress = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in progress] == [1, 2, 3, 4, 5, 6]
    assert [line["replay/rows"] for line in progress] == [64, 128, 192, 256, 64, 128]  # not in the checkpoint
    assert latest_checkpoint(tmp_path / "checkpoints").state.to_json()["counters"]["updates"] == 6
    assert Agent(saved.players["main"]).metadata["player"] == "main"


def test_a_checkpoint_holds_mixer_and_targets(tmp_path):
    with team(tmp_path) as algorithm:
        for _ in range(7):
            algorithm.train()
        learner = algorithm.learner_group._learner
        arrays, plain = learner.extra_state()
        assert plain == {"targets_updated": 320}
        name = "policy_head.linear.weight"
        assert not np.array_equal(arrays[f"target.main/{name}"], algorithm.weights.read("main")[f"agent/{name}"])
        for _ in range(4):
            algorithm.train()
        assert learner._targets_updated == 640
        learner.load_extra_state(arrays, plain, 0)
        again, _ = learner.extra_state()
        assert all(np.array_equal(arrays[key], again[key]) for key in arrays) and learner._targets_updated == 320


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        (["env=tic_tac_toe"], "needs one cooperative side, and this environment has 2"),
        (["env=simple_spread", "env.continuous_actions=true"], "needs discrete actions"),
    ],
)
def test_environments_without_a_team_are_refused_before_ray_starts(tmp_path, choices, problem):
    with pytest.raises(ConfigError, match=problem):
        build(load(["+experiment=qmix", *choices], output_dir=str(tmp_path)))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("algorithm.epsilon=[[5,1.0]]", "is not a schedule"),
        ("algorithm.epsilon=[[0,1.0],[10,1.5]]", "is not a schedule"),
        ("algorithm.epsilon=[[0,1.0],[0,0.5]]", "is not a schedule"),
        ("algorithm.epsilon=[0,1]", "is not a schedule"),
        ("algorithm.mixer=sum", "give one of vdn, qmix"),
    ],
)
def test_wrong_settings_are_named(line, problem):
    with pytest.raises(ConfigError, match=problem):
        load(["+experiment=qmix", line])


def test_every_target_moves_by_tau():
    learner = TeamLearner.__new__(TeamLearner)
    learner._module, learner._targets = {"a": torch.nn.Linear(1, 1)}, {"a": torch.nn.Linear(1, 1)}
    ours, theirs = learner._targets["a"].weight.item(), learner._module["a"].weight.item()
    learner._update_targets(0.25)
    assert learner._targets["a"].weight.item() == pytest.approx(0.75 * ours + 0.25 * theirs)
    learner._update_targets(1.0)
    assert learner._targets["a"].weight.item() == theirs
