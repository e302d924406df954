"""The curves of strength of a finished run, from what it left on disk."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.strength_marks import NASH_CONV, SOLVED, Point, minutes, rounded
from benchmarks.tutorial_policy import read_policy
from marl_app.envs.connect_four import ConnectFour
from marl_app.evaluation.anchors import evaluate_anchor
from marl_app.evaluation.contestants import contestants
from marl_app.evaluation.solved import value_preserving_moves
from marl_app.players.policy import Follower, Policy
from marl_app.runs.members import Members

MATCHES = {"mcts_100": 400, "mcts_1000": 200}
"""Anchor -> matches that a player plays against it, half of them on each side."""
SECONDS, ENV_STEPS, AGENT_STEPS = "seconds", "steps/env_steps", "steps/trained_agent_steps"


def measure_agents(run: Path, points: int) -> dict[str, list[Point]]:
    """Return the curves of a run on Connect Four: of snapshots evenly spaced over it, and of its agent in the end."""
    with closing(ConnectFour(1)) as env:
        players = contestants(env, Members(run), ["main@*", "main"], points - 1, [])
    progress = read_progress(run)
    # A snapshot records the agent steps of its learner. The run has one learner, so they are those of the run.
    trained, seconds, env_steps = ([line[key] for line in progress] for key in (AGENT_STEPS, SECONDS, ENV_STEPS))
    curves: dict[str, list[Point]] = {}
    for contestant in players:
        assert contestant.agent_steps is not None  # a player of a run
        # When the run had this many agent steps, interpolated between its recorded points.
        at = [float(np.interp(contestant.agent_steps, trained, values)) for values in (seconds, env_steps)]
        add_measurements(curves, contestant.player, at[0], at[1], f"{run.name} {contestant.name}")
    return curves


def measure_tutorial(folder: Path) -> dict[str, list[Point]]:
    """Return the curves of the tutorial's saved policies."""
    curves: dict[str, list[Point]] = {}
    for path in sorted(folder.glob("policy_*.npz")):
        saved = read_policy(path)
        add_measurements(curves, saved.policy, saved.seconds, saved.env_steps, f"tutorial {path.stem}")
    return curves


def add_measurements(
    curves: dict[str, list[Point]], player: Policy | Follower, seconds: float, env_steps: float, name: str
) -> None:
    """Measure one player with its most probable actions, print the values, and add them to the curves."""
    assert not isinstance(player, Follower)  # a network
    found = {}
    for anchor, matches in MATCHES.items():
        # The same seeds for all players.
        found[anchor] = evaluate_anchor(ConnectFour, [player], anchor, matches, np.random.default_rng(0), greedy=True)[
            :3
        ]
    found[SOLVED] = value_preserving_moves(ConnectFour, [player], np.random.default_rng(0))[:3]
    for measure, values in found.items():
        curves.setdefault(measure, []).append(Point(seconds, env_steps, *values))
    values_text = ", ".join(f"{measure} {values[0]:.3f}" for measure, values in found.items())
    print(f"{name}: {minutes(seconds)} min, {rounded(env_steps)} env steps: {values_text}", flush=True)


def read_nash_conv(run: Path) -> dict[str, list[Point]]:
    """Return the curve of the agent's exact NashConv, which a run measures while it trains and in the end."""
    key = f"{NASH_CONV}/agent"
    found = [(line[SECONDS], line[ENV_STEPS], line[key]) for line in read_progress(run) if key in line]
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    if summary["status"] == "finished":  # else it repeats the last measurement
        # In a game of two players that sums to zero NashConv is twice the exploitability.
        found.append((summary["seconds"], summary["env_steps"], 2 * summary["exploitability"]["agent"]))
    return {NASH_CONV: [Point(seconds, env_steps, *[value] * 3) for seconds, env_steps, value in found]}


def read_progress(run: Path) -> list[dict[str, float]]:
    """Return the points of the run's metrics, in the order of time."""
    return [json.loads(line) for line in (run / "progress.jsonl").read_text(encoding="utf-8").splitlines()]
