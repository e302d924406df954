"""A coordinate search for the fastest sampling settings of RLlib's own PPO, keeping the best value of each setting.

The values of a setting are measured as contestants are: all processes alive, in turns, round by round.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from benchmarks.game import LineupEntry
from benchmarks.settings import Sampling, Settings
from benchmarks.tables import Rows
from benchmarks.worker import Worker

CHOICES: tuple[tuple[str, tuple[int | bool, ...]], ...] = (
    ("num_env_runners", (0, 1, 2)),
    ("num_envs_per_env_runner", (1, 16, 32, 64, 128)),
    ("batch_rows", (4096, 8192, 16384)),
    ("rollout_fragment_length", (0, 16, 64)),
    ("episodes_to_numpy", (True, False)),
)

Speed = tuple[float, float]
"""Median env steps/s, sampling alone and with learning."""


def search(settings: Settings, rounds: int, seconds: float, console: Console) -> Rows:
    """Try every value, and print progress; returns a table of the env steps/s of each value and which were kept."""
    best = settings.stock
    rows: Rows = [["setting", "sampling", "learning too", "kept"]]
    # Coordinate search: the values of one setting are compared with the best found so far of all others.
    for name, values in CHOICES:
        candidates = [replace(best, **{name: cast(Any, value)}) for value in values]
        speeds = measure_candidates(candidates, settings, rounds, seconds)
        # Keep the value that trains fastest, not the value that samples fastest.
        kept = max(range(len(values)), key=lambda i: speeds[i][1])
        best = candidates[kept]
        for i, value in enumerate(values):
            rows.append([f"{name}={value}", *(f"{rate:,.0f}" for rate in speeds[i]), "yes" if i == kept else ""])
            console.print("  ".join(rows[-1]))
    return rows


def measure_candidates(candidates: Sequence[Sampling], settings: Settings, rounds: int, seconds: float) -> list[Speed]:
    """Return the speed of each candidate."""
    with tempfile.TemporaryDirectory(prefix="benchmark") as logs, ExitStack() as opened:
        # All candidates are alive, and paused but for the one that is measured.
        workers = [
            opened.enter_context(
                Worker(LineupEntry("RLlib's own PPO", "stock"), replace(settings, stock=sampling), Path(logs) / str(i))
            )
            for i, sampling in enumerate(candidates)
        ]
        for worker in workers:
            worker.measure(True, 0.0)  # warm up
        # [rounds][sampling, learning][candidates] env steps/s
        measured = [
            [[worker.measure(learn, seconds).env_steps_per_s for worker in workers] for learn in (False, True)]
            for _ in range(rounds)
        ]
    return [
        (statistics.median(alone[i] for alone, _ in measured), statistics.median(both[i] for _, both in measured))
        for i in range(len(candidates))
    ]
