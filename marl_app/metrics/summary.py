"""`summary.json`: how a run ended, in one small file, written at every end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marl_app.metrics.files import replacing, to_json

KEYS = {
    "status": "How the run ended: finished, interrupted or failed.",
    "seconds": "Wall-clock seconds in training, those before a resume included.",
    "iterations": "Iterations finished.",
    "env_steps": "Env steps in total.",
    "trained_agent_steps": "Trainees' actions in total that a learner has trained on.",
    "env_steps_per_s": "`env_steps / seconds`.",
    "trained_agent_steps_per_s": "`trained_agent_steps / seconds`.",
    "pool_size": "Snapshots in the pool.",
    "elo": "Elo of the main agent; null without a pool.",
    "anchors": "The last evaluation, as `{name: {score, low, high, games}}`: mean score with its 95 % interval; of a "
    "team without opponents `{team: {agent_return, low, high, team_return, games}}`.",
    "exploitability": "The last exact exploitability, as `{agent, meta_strategy}`; empty where there is none.",
    "snapshots": "What opponents moved since this process began: `bytes` and `count` by link, `requests`, `hits`, "
    "`seconds`, `waited`, `corrupt`, `bypassed`, `failed`, as the metrics under `snapshots/` say; `queued`; and "
    "`runner_private_bytes` and `slot_bytes` of the last iteration.",
    "control_plane": "What assignments were made since this process began: `assignments`, `assignments_per_s`, "
    "`assignment_bytes`, and the mean `distortion` of placement.",
    "checkpoint": "Path of the last checkpoint; null if there is none.",
}


def write_summary(path: str | Path, values: Mapping[str, Any]) -> None:
    """Write the summary, whole or not at all. NaN becomes null; keys beside `KEYS` are written too.

    Raises KeyError if one of `KEYS` is missing, before anything is written.
    """
    missing = [key for key in KEYS if key not in values]
    if missing:
        raise KeyError(f"the summary lacks {', '.join(missing)}")
    text = to_json({key: values[key] for key in (*KEYS, *(key for key in values if key not in KEYS))}, indent=2)
    with replacing(Path(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
