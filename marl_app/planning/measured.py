"""Settings read from a run that has ended, instead of assumed: its files are JSON, and nothing else is needed.

`summary.json`, `progress.jsonl`, the state of the newest checkpoint, and the sizes of the snapshots. What a run does
not tell (a pool of one snapshot has no freeze interval) is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marl_app.league.payoff import Payoff
from marl_app.league.players import Player
from marl_app.league.ratings import bradley_terry

Values = dict[str, Any]


def settings_from_run(run: Path, runtime: Mapping[str, Any], sides: int, agents_per_side: int) -> Values:
    """Settings of `Size` by name, as the run in this directory had them.

    runtime: the run's own configuration of that name; an env runner is an actor that steps many matches at once.
    sides, agents_per_side: of its environment, which the files do not say.
    Raises FileNotFoundError for a run that has not ended, and ValueError for one that tells too little or cannot be of
    so many agents.
    """
    summary = _json(run / "summary.json")
    lines = (run / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    progress = [json.loads(line) for line in lines if line.strip()]
    if len(progress) < 2:
        raise ValueError(f"it has {len(progress)} finished iterations, and two are the fewest that rates come from")
    values = _rates(progress, runtime, sides, agents_per_side)
    state = read_newest_state(run / "checkpoints")
    if state is not None:
        values |= _league(state["league"], run / "snapshots", summary["trained_agent_steps_per_s"])
    return values


def _rates(progress: list[dict[str, Any]], runtime: Mapping[str, Any], sides: int, agents_per_side: int) -> Values:
    """What the iterations say. The first is left out: it waits for what is only started."""

    def column(name: str) -> NDArray[np.float64]:
        return np.array([line.get(name) or 0.0 for line in progress], np.float64)

    seconds = np.diff(column("seconds"))
    env_steps = np.diff(column("steps/env_steps")).sum()
    trained = column("learner/batch_rows")[1:].sum()
    matches = column("matches/per_s")[1:] * seconds
    learning = (column("throughput/learn_share")[1:] * seconds).sum()
    if not (matches.sum() and learning):
        raise ValueError("no match has ended in it, or no learner has learned")
    length = np.average(column("matches/length")[1:], weights=matches)
    self_play = np.average(column("league/self_play_share")[1:], weights=matches)
    actors = max(1, runtime["num_env_runners"])
    at_once = runtime["num_envs_per_env_runner"]
    per_agent = trained / env_steps / (1 + (sides - 1) * self_play) / agents_per_side
    if per_agent > 1.05:  # a little more than 1 is what the batches at both ends leave open
        raise ValueError(
            f"it trains on {trained / env_steps:.2f} agent steps per env step, more than {sides} sides of "
            f"{agents_per_side} agents have: give its task.sides and task.agents_per_side"
        )
    match_s = length * actors * at_once * seconds.sum() / env_steps
    update_s = seconds.mean()
    return {
        "matches_at_once": at_once,
        "match_env_steps": float(length),
        "match_s": float(match_s),
        "agent_steps_per_env_step": float(min(per_agent, 1.0)),
        "learner_agent_steps_per_s": float(trained / learning),
        "update_interval_s": float(update_s),
        "weights_interval_s": float(update_s),  # each request for experience carries the newest
        # A request brings new opponents, which come in when the last match of a slot has ended.
        "opponent_interval_s": float(max(update_s, match_s)),
        "opponents_at_once": runtime["opponent_slots"],
    }


def _league(league: dict[str, Any], snapshots: Path, agent_steps_per_s: float) -> Values:
    """What the pool says."""
    values: Values = {}
    sizes = [file.stat().st_size for one in league["snapshots"] if (file := snapshots / one["digest"]).is_file()]
    if sizes:
        values["snapshot_bytes"] = float(np.mean(sizes))
    lineage = [
        one for one in league["snapshots"] if one["player"].partition("@")[0] == league["learners"][0]["lineage"]
    ]
    if len(lineage) < 2:
        return values
    steps = lineage[-1]["agent_steps"] - lineage[0]["agent_steps"]
    if steps > 0:
        values["freeze_interval_s"] = steps / (len(lineage) - 1) / agent_steps_per_s
    payoff = Payoff()
    payoff.load_state_dict(league["payoff"])
    generations = [Player.parse(one["player"]).generation or 0 for one in lineage]
    wins, _ = payoff.counts([league["learners"][0]["lineage"], *(one["player"] for one in lineage)])
    # The learner counts as half a generation ahead of its newest snapshot, as in `opponents`.
    slope = np.polyfit([generations[-1] + 0.5, *generations], bradley_terry(wins), 1)[0]
    values["elo_per_generation"] = float(max(slope, 0.0))
    return values


def read_newest_state(checkpoints: Path) -> dict[str, Any] | None:
    """`state.json` of the newest checkpoint in which it is what the manifest says; None if there is none."""
    for path in sorted(checkpoints.glob("checkpoint-*"), reverse=True):
        try:
            data = (path / "state.json").read_bytes()
            if hashlib.sha256(data).hexdigest() == _json(path / "manifest.json")["state.json"]:
                return dict(json.loads(data))
        except (OSError, ValueError, KeyError):
            continue
    return None


def _json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))
