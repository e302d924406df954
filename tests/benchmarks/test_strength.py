"""The strength benchmark: when marks are reached, curves of a run, the tutorial's policy; strength is not tested."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # benchmarks/ is not installed with the app

from benchmarks import strength, strength_points  # noqa: E402
from benchmarks.strength_marks import MARKS, NASH_CONV, SOLVED, Mark, Point, first_reached, marks_table  # noqa: E402
from benchmarks.strength_points import measure_tutorial, read_nash_conv  # noqa: E402
from benchmarks.tutorial_policy import TutorialPolicy, read_policy  # noqa: E402
from benchmarks.tutorial_sb3 import BothSeats, Recorder, save_policy  # noqa: E402
from marl_app.envs.connect_four import ConnectFour  # noqa: E402
from marl_app.envs.random_play import random_actions  # noqa: E402
from tests.rllib.runs import running  # noqa: E402

RISING, FALLING = Mark("connect_four", "mcts_100", 0.5, ""), Mark("kuhn_poker", NASH_CONV, 0.05, "")


def curve(*values):
    """Return points that are a minute and a million env steps apart."""
    return [Point(60.0 * (index + 1), 1e6 * (index + 1), value, value, value) for index, value in enumerate(values)]


def test_a_mark_is_reached_between_two_points():
    # From 0.2 to 0.6 within the second minute: 0.5 after three quarters of it. What follows does not matter.
    assert first_reached(curve(0.2, 0.6, 0.1), RISING) == pytest.approx((105.0, 1.75e6, False))
    assert first_reached(curve(0.2, 0.4, 0.3), RISING) is None
    assert first_reached(curve(0.2, 0.5), RISING) == (120.0, 2e6, False)
    assert first_reached(curve(0.07, 0.06, 0.04), FALLING) == pytest.approx((150.0, 2.5e6, False))


def test_a_mark_of_the_first_point_was_reached_then_or_earlier():
    assert first_reached(curve(0.7, 0.2), RISING) == (60.0, 1e6, True)


def test_the_table_says_what_was_not_reached():
    header, *rows = marks_table(
        {
            "connect_four": {"mcts_100": curve(0.6, 0.7), "mcts_1000": curve(0.0, 0.499), SOLVED: curve(0.5, 0.95)},
            "tutorial": {"mcts_100": curve(0.1, 0.2), "mcts_1000": curve(0.0, 0.0), SOLVED: curve(0.3, 0.4)},
            "leduc_poker": {NASH_CONV: curve(3.0, 0.75)},
        }
    )
    assert [row[0] for row in rows] == [mark.text for mark in MARKS if mark.game != "kuhn_poker"]  # it was not trained
    assert all(len(row) == len(header) for row in rows)
    assert rows[0][1:] == ["at most 1", "at most 1.00 M", "not in 2 min (best 0.200)", "not in 2.00 M"]
    assert rows[1][1:3] == ["not in 2 min (best 0.700)", "not in 2.00 M"]
    assert rows[2][1] == "not in 2 min (best 0.499)"
    assert rows[3][1:3] == ["1.9", "1.89 M"]
    assert rows[4][1:] == ["1.9", "1.89 M", "", ""]  # the tutorial does not play Leduc poker
    assert rows[5][1] == "not in 2 min (best 0.750)"


def test_nash_conv_is_read_from_the_metrics_of_a_run(tmp_path):
    lines = [
        {"seconds": 1.0, "steps/env_steps": 1000, "nash_conv/agent": 0.9},
        {"seconds": 2.0, "steps/env_steps": 2000},
        {"seconds": 3.0, "steps/env_steps": 3000, "nash_conv/agent": 0.4},
    ]
    (tmp_path / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = {"status": "interrupted", "seconds": 5.0, "env_steps": 5000, "exploitability": {"agent": 0.15}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    measured = [Point(1.0, 1000, 0.9, 0.9, 0.9), Point(3.0, 3000, 0.4, 0.4, 0.4)]
    assert read_nash_conv(tmp_path) == {NASH_CONV: measured}
    # Only a run that finished is measured once more in the end.
    (tmp_path / "summary.json").write_text(json.dumps(summary | {"status": "finished"}))
    assert read_nash_conv(tmp_path) == {NASH_CONV: [*measured, Point(5.0, 5000, 0.3, 0.3, 0.3)]}


def small_weights(rng):
    """Return random weights of the tutorial's network, large enough for probabilities that differ."""
    sizes = (84, 64, 64, 7)
    return {
        name: rng.normal(size=shape).astype(np.float32)
        for layer, (inputs, outputs) in enumerate(pairwise(sizes))
        for name, shape in ((f"weight_{layer}", (outputs, inputs)), (f"bias_{layer}", (outputs,)))
    }


def positions(rng):
    """Return observations [R, 6, 7, 2] and masks [R, 7] of random play, with full columns among them."""
    env, seen = ConnectFour(20), []
    env.reset(rng)
    for _ in range(30):
        rows = env.acting().nonzero()
        seen.append((env.observe(*rows), env.action_mask(*rows)))
        env.reset(rng, env.step(random_actions(env, rng), rng).over.nonzero()[0])
    observations, masks = (np.concatenate(part) for part in zip(*seen, strict=True))
    assert not masks.all()
    return observations, masks


def test_the_policy_in_numpy_equals_a_forward_pass_in_torch():
    rng = np.random.default_rng(0)
    weights, (observations, masks) = small_weights(rng), positions(rng)
    values = torch.as_tensor(observations).flatten(1).float()
    for layer in range(3):
        values = torch.nn.functional.linear(
            values, torch.as_tensor(weights[f"weight_{layer}"]), torch.as_tensor(weights[f"bias_{layer}"])
        )
        values = values.tanh() if layer < 2 else values
    expected = values.masked_fill(~torch.as_tensor(masks), -1e8).softmax(1).numpy()
    policy = TutorialPolicy(weights)
    np.testing.assert_allclose(policy.probabilities(observations, masks), expected, atol=1e-5)
    agents = np.zeros(len(masks), np.int64)
    greedy = policy.act(observations, masks, agents, rng=rng, greedy=True, memory=None)
    assert (greedy == expected.argmax(1)).all()


def test_sampled_actions_follow_the_probabilities():
    rng = np.random.default_rng(1)
    observations, masks = (np.repeat(array[-1:], 20_000, axis=0) for array in positions(rng))
    policy = TutorialPolicy(small_weights(rng))
    actions = policy.act(observations, masks, np.zeros(20_000, np.int64), rng=rng, greedy=False, memory=None)
    shares = np.bincount(actions, minlength=7) / 20_000
    # Five standard errors of a share are at most 5 * sqrt(0.25 / 20,000) = 0.018.
    np.testing.assert_allclose(shares, policy.probabilities(observations[:1], masks[:1])[0], atol=0.018)


class Layers:
    """Stands for the policy of Stable-Baselines3: the parts that are saved."""

    def __init__(self):
        self.mlp_extractor = torch.nn.Module()
        self.mlp_extractor.policy_net = torch.nn.Sequential(
            torch.nn.Linear(84, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64), torch.nn.Tanh()
        )
        self.action_net = torch.nn.Linear(64, 7)


def test_saved_policies_are_read_and_measured(tmp_path, monkeypatch):
    layers = Layers()
    save_policy(layers, tmp_path / "policy_000.npz", 1234, 56.5)
    saved = read_policy(tmp_path / "policy_000.npz")
    assert (saved.seconds, saved.env_steps) == (56.5, 1234)
    monkeypatch.setattr(strength_points, "MATCHES", {"mcts_1": 4})
    curves = measure_tutorial(tmp_path)
    assert set(curves) == {"mcts_1", SOLVED}
    for (point,) in curves.values():
        assert (point.seconds, point.env_steps) == (56.5, 1234) and 0 <= point.low <= point.value <= point.high <= 1


def test_policies_are_saved_at_the_start_at_even_times_and_at_the_end(tmp_path):
    # Times of the calls: 25 falls into the interval that began at 20, and an update lasts from 25 to 52.
    times = iter([0.0, 0.0, 9.0, 10.0, 15.0, 25.0, 52.0, 55.0, 60.0])
    recorder = Recorder(Layers(), tmp_path, seconds=60, points=6, clock=lambda: next(times))
    goes_on = [recorder.record(steps) for steps in range(8)]
    assert goes_on == [True] * 7 + [False]
    saved = [read_policy(path) for path in sorted(tmp_path.glob("*.npz"))]
    assert [(policy.env_steps, policy.seconds) for policy in saved] == [(0, 0), (2, 10), (4, 25), (5, 52), (7, 60)]


def test_the_tutorials_reward_is_that_of_the_player_that_moved():
    env = BothSeats()
    observation, _ = env.reset(seed=0)
    assert observation.shape == (6, 7, 2) and not observation.any() and env.action_masks().tolist() == [1] * 7
    # The first player fills column 0, the second column 1: the seventh move makes four in a column.
    steps = [env.step(action) for action in (0, 1, 0, 1, 0, 1, 0)]
    assert [step[1] for step in steps] == [0.0] * 6 + [1.0]
    assert [step[2] for step in steps] == [False] * 6 + [True]
    assert steps[0][0][5, 0].tolist() == [0, 1]  # seen by the second player: the disc is the opponent's


def test_a_missing_venv_of_the_tutorial_is_an_error_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(strength, "VENV", tmp_path / ".venv-strength")
    with pytest.raises(SystemExit) as stopped:
        strength.parse([])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and "`make strength`" in error and "--only connect_four,kuhn" in error
    assert strength.parse(["--only", "kuhn_poker,connect_four"]).only == ["connect_four", "kuhn_poker"]


@pytest.mark.usefixtures("ray_here")
def test_the_snapshots_of_a_run_are_measured(tmp_path, monkeypatch):
    overrides = ("league.schedule.agent_steps=500", "callbacks=[league,metrics,checkpoint]")
    with running(tmp_path, *overrides, "callbacks.metrics.every_seconds=0") as algorithm:
        while len(algorithm.league.snapshots) < 4:
            algorithm.train()
        algorithm.events.fire("on_run_end", status="finished")
    monkeypatch.setattr(strength_points, "MATCHES", {"random": 4})
    curves = strength_points.measure_agents(tmp_path, 3)
    assert set(curves) == {"random", SOLVED}
    # Points: the first and the last snapshot, and the agent. A snapshot is taken after an iteration, so its env steps
    # and seconds are those of a line of the metrics.
    lines = {line["steps/env_steps"]: line for line in strength_points.read_progress(tmp_path)}
    first, last, agent = curves[SOLVED]
    assert first.env_steps < last.env_steps <= agent.env_steps == algorithm.counters.env_steps
    for point in (first, last, agent):
        assert point.seconds == pytest.approx(lines[round(point.env_steps)]["seconds"])


VENV = ROOT / ".venv-strength"
ASK_SB3 = """
import sys
import numpy as np, torch
from sb3_contrib import MaskablePPO
from benchmarks.tutorial_sb3 import BothSeats, save_policy
asked, folder = np.load(sys.argv[1] + "/asked.npz"), sys.argv[1]
model = MaskablePPO("MlpPolicy", BothSeats(), seed=0, device="cpu", n_steps=64)
model.learn(64)
with torch.no_grad():
    model.policy.action_net.weight *= 100  # PPO begins with almost equal probabilities
    distribution = model.policy.get_distribution(torch.as_tensor(asked["observations"]), asked["masks"])
save_policy(model.policy, folder + "/policy_000.npz", model.num_timesteps, 1.0)
np.save(folder + "/probabilities.npy", distribution.distribution.probs.numpy())
"""


@pytest.mark.skipif(not (VENV / ".installed").exists(), reason="needs .venv-strength, which `make strength` makes")
def test_the_policy_in_numpy_equals_that_of_stable_baselines(tmp_path):
    observations, masks = positions(np.random.default_rng(2))
    np.savez(tmp_path / "asked.npz", observations=observations, masks=masks)
    subprocess.run([VENV / "bin" / "python", "-c", ASK_SB3, str(tmp_path)], cwd=ROOT, check=True, timeout=200)
    expected = np.load(tmp_path / "probabilities.npy")
    assert expected.max() > 0.3  # not all alike
    saved = read_policy(tmp_path / "policy_000.npz")
    assert saved.env_steps == 64
    np.testing.assert_allclose(saved.policy.probabilities(observations, masks), expected, atol=1e-5)
