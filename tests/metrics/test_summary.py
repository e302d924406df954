"""The summary is complete, plain JSON, and written atomically."""

import json
from pathlib import Path

import numpy as np
import pytest

from marl_app.metrics.summary import KEYS, write_summary

VALUES = {
    "status": "finished",
    "seconds": 1.5,
    "iterations": 3,
    "env_steps": np.int64(100),
    "trained_agent_steps": 90,
    "env_steps_per_s": np.float32(66.5),
    "trained_agent_steps_per_s": 60.0,
    "sides": [["player_0"], ["player_1"]],
    "pool_size": 0,
    "elo": float("nan"),
    "anchors": {"random": {"score": float("inf"), "low": 0.9, "high": 1.0, "games": 200}},
    "exploitability": {"agent": np.float64(0.5), "meta_strategy": 0.0},
    "value_preserving_moves": {"share": 0.5, "low": 0.4, "high": 0.6, "sampled": 0.45, "positions": 500},
    "runtime": {"num_env_runners": 1, "num_learners": 0},
    "snapshots": {"bytes": {"store_to_runner": 40_000}, "requests": 1, "queued": 0},
    "control_plane": {"assignments": 3, "assignments_per_s": 20_000.0},
    "checkpoint": Path("checkpoints/000003"),
}


def test_the_summary_is_plain_json_with_null_for_nan(tmp_path):
    write_summary(tmp_path / "summary.json", VALUES | {"extra": 1})
    text = (tmp_path / "summary.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == VALUES | {
        "elo": None,
        "anchors": {"random": {"score": None, "low": 0.9, "high": 1.0, "games": 200}},
        "checkpoint": "checkpoints/000003",
        "extra": 1,
    }


def test_all_documented_keys_are_required(tmp_path):
    assert set(KEYS) == set(VALUES)
    with pytest.raises(KeyError, match="lacks elo"):
        write_summary(tmp_path / "summary.json", {key: value for key, value in VALUES.items() if key != "elo"})


def test_an_old_summary_stays_whole_when_the_new_one_cannot_be_written(tmp_path):
    path = tmp_path / "summary.json"
    write_summary(path, VALUES)
    before = path.read_text()
    with pytest.raises(TypeError):
        write_summary(path, VALUES | {"extra": object()})
    assert path.read_text() == before and len(list(tmp_path.iterdir())) == 1
