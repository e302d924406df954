"""Settings of a plan measured from the files of a finished run, instead of assumed.

Reads `summary.json`, `progress.jsonl`, the state of the newest checkpoint, and the sizes of the snapshots. Settings
that cannot be measured are omitted (a pool of one snapshot has no freeze interval).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marl_app.league.payoff import Payoff
from marl_app.league.ratings import bradley_terry
from marl_app.runs.checkpoints import latest_state
from marl_app.runs.state import RunState

Values = dict[str, Any]


def settings_from_run(run: Path, runtime: Mapping[str, Any], sides: int, agents_per_side: int) -> Values:
    """Return settings of `Size` by name, as measured from the run in this directory.

    runtime: section `runtime` of the run's configuration; an env runner is an actor that steps many matches in
    parallel. sides, agents_per_side: of its environment, for runs of before 0.3.0, whose summary lacks them.
    Raises FileNotFoundError for an unfinished run, and ValueError for a run with too little data, or whose steps
    contradict `sides` and `agents_per_side`.
    """
    summary = _json(run / "summary.json")
    lines = (run / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    progress = [json.loads(line) for line in lines if line.strip()]
    if len(progress) < 2:
        raise ValueError(f"the run has {len(progress)} lines of progress: at least 2 are needed to measure rates")
    environment: Values = {}
    if summary.get("sides"):
        sides, agents_per_side = len(summary["sides"]), max(map(len, summary["sides"]))
        environment = {"sides": sides, "agents_per_side": agents_per_side}
    used = {**runtime, **(summary.get("runtime") or {})}  # numbers where the configuration says auto
    values = environment | _rates(progress, used, sides, agents_per_side)
    state = latest_state(run / "checkpoints")
    if state is not None:
        values |= _league(state, run / "snapshots", summary["trained_agent_steps_per_s"])
    return values


def _rates(progress: list[dict[str, Any]], runtime: Mapping[str, Any], sides: int, agents_per_side: int) -> Values:
    """Measure rates from the second line of progress on: the first includes waiting for processes to start."""

    def column(name: str) -> NDArray[np.float64]:
        return np.array([line.get(name) or 0.0 for line in progress], np.float64)  # [lines]

    # Totals are differenced, columns of means drop the first: [lines - 1] each.
    seconds = np.diff(column("seconds"))
    env_steps = np.diff(column("steps/env_steps")).sum()
    trained = np.diff(column("steps/trained_agent_steps")).sum()
    matches = column("matches/per_s")[1:] * seconds
    learning = (column("throughput/learn_share")[1:] * seconds).sum()
    if not (matches.sum() and learning):
        raise ValueError("no match has ended in the run, or no learner was updated")
    length = np.average(column("matches/length")[1:], weights=matches)
    self_play = np.average(column("league/self_play_share")[1:], weights=matches)
    actors = runtime["num_env_runners"] or runtime.get("num_learners") or 1
    parallel = runtime["num_envs_per_env_runner"]
    # Share of env steps in which an agent acts: agent steps per env step, per trained side and agent.
    per_agent = trained / env_steps / (1 + (sides - 1) * self_play) / agents_per_side
    if per_agent > 1.05:  # tolerance for partial batches at both ends
        raise ValueError(
            f"the run trains on {trained / env_steps:.2f} agent steps per env step, more than {sides} sides of "
            f"{agents_per_side} agents can have: set task.sides and task.agents_per_side as in the run"
        )
    # Each parallel match advances by env_steps / (actors * parallel) steps in the total time.
    match_s = length * actors * parallel * seconds.sum() / env_steps
    update_s = seconds.sum() / np.diff(column("iteration")).sum()
    return {
        "matches_at_once": parallel,
        "match_env_steps": float(length),
        "match_s": float(match_s),
        "agent_steps_per_env_step": float(min(per_agent, 1.0)),
        "learner_agent_steps_per_s": float(trained / learning),
        "update_interval_s": float(update_s),
        "weights_interval_s": float(update_s),  # each request for experience carries the newest weights
        # A request assigns new opponents, which take a slot when its last match has ended.
        "opponent_interval_s": float(max(update_s, match_s)),
        "opponents_at_once": runtime["opponent_slots"],
    }


def _league(state: RunState, directory: Path, agent_steps_per_s: float) -> Values:
    """Measure snapshot size, freeze interval and Elo per generation from the pool, whose files are in `directory`."""
    values: Values = {}
    # Snapshots in an object store have no file here: their size is not measured.
    snapshots = state.snapshots
    sizes = [file.stat().st_size for snapshot in snapshots if (file := directory / snapshot.digest).is_file()]
    if sizes:
        values["snapshot_bytes"] = float(np.mean(sizes))
    learner = state.learners[0].lineage
    lineage = [snapshot for snapshot in snapshots if snapshot.player.lineage == learner]
    if len(lineage) < 2:
        return values
    steps = lineage[-1].agent_steps - lineage[0].agent_steps
    if steps > 0:
        values["freeze_interval_s"] = steps / (len(lineage) - 1) / agent_steps_per_s
    payoff = Payoff()
    payoff.load_state_dict(state.league["payoff"])
    generations = [snapshot.player.generation or 0 for snapshot in lineage]
    wins, _ = payoff.counts([learner, *(snapshot.player.id for snapshot in lineage)])  # [1 + snapshots, 1 + snapshots]
    # Slope of the ratings over generations; the learner is half a generation ahead, as in `opponents`.
    slope = np.polyfit([generations[-1] + 0.5, *generations], bradley_terry(wins), 1)[0]
    values["elo_per_generation"] = float(max(slope, 0.0))
    return values


def _json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))
