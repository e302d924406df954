"""`summary.json`: the result of a run in one small file, written whenever a run ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marl_app.durable import replacing
from marl_app.metrics.json import to_json

KEYS = {
    "status": "How the run ended: finished, interrupted, failed, or killed (its process ended without warning).",
    "seconds": "Wall-clock seconds in training, including those before a resume.",
    "iterations": "Number of finished iterations.",
    "env_steps": "Total env steps.",
    "trained_agent_steps": "Total actions of trainees that a learner has trained on.",
    "env_steps_per_s": "`env_steps / seconds`.",
    "trained_agent_steps_per_s": "`trained_agent_steps / seconds`.",
    "sides": "Names of the agents of each side of the environment.",
    "runtime": "Processes, matches of each, and GPUs of a learner, with numbers where the configuration says auto.",
    "pool_size": "Snapshots in the pool.",
    "elo": "Elo of the main agent; null if there is no pool.",
    "anchors": "The last evaluation, `{name: {score, low, high, games}}`: mean score with its 95 % interval; for a "
    "team without opponents `{team: {agent_return, low, high, team_return, games}}`.",
    "exploitability": "The last exact exploitability, `{agent, meta_strategy}`; empty if it was not computed.",
    "value_preserving_moves": "The last evaluation in solved positions, `{share, low, high, sampled, positions}`: the "
    "share of them in which the agent's greedy move keeps the best value, its 95 % interval, and the expected share "
    "with sampled actions; empty if it was not measured.",
    "snapshots": "Transfers of opponents since this process started: `bytes` and `count` by link, `requests`, `hits`, "
    "`seconds`, `waited`, `corrupt`, `bypassed`, `failed`, as in the metrics under `snapshots/`; `queued`; and "
    "`runner_private_bytes` and `slot_bytes` of the last iteration.",
    "control_plane": "Assignments since this process started: `assignments`, `assignments_per_s`, "
    "`assignment_bytes`, and the mean `distortion` by placement.",
    "checkpoint": "Path of the last checkpoint; null if there is none.",
}


def write_summary(path: str | Path, values: Mapping[str, Any]) -> None:
    """Write the summary atomically. NaN becomes null; keys that are not in `KEYS` are written last.

    Raises KeyError before writing if one of `KEYS` is missing.
    """
    missing = [key for key in KEYS if key not in values]
    if missing:
        raise KeyError(f"the summary lacks {', '.join(missing)}")
    # In the order of KEYS, which a person reads from the top.
    text = to_json({key: values[key] for key in (*KEYS, *(key for key in values if key not in KEYS))}, indent=2)
    with replacing(Path(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
