"""The best way for RLlib's own PPO to sample: one setting after the other, each with the best values of those before.

The values of a setting are measured as the contestants are: all alive, in turns, round by round.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

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
    """Try every value; what each gave, in env steps/s, and which were kept. Says how it goes on the console."""
    best = settings.stock
    rows: Rows = [["setting", "sampling", "learning too", "kept"]]
    for name, values in CHOICES:
        candidates = [replace(best, **{name: value}) for value in values]
        speeds = measure_candidates(candidates, settings, rounds, seconds)
        kept = max(range(len(values)), key=lambda i: speeds[i][1])
        best = candidates[kept]
        for i, value in enumerate(values):
            rows.append([f"{name}={value}", *(f"{rate:,.0f}" for rate in speeds[i]), "yes" if i == kept else ""])
            console.print("  ".join(rows[-1]))
    return rows


def measure_candidates(candidates: Sequence[Sampling], settings: Settings, rounds: int, seconds: float) -> list[Speed]:
    """The speed of each way to sample."""
    with tempfile.TemporaryDirectory(prefix="benchmark") as logs, ExitStack() as opened:
        workers = [
            opened.enter_context(
                Worker(LineupEntry("RLlib's own PPO", "stock"), replace(settings, stock=sampling), Path(logs) / str(i))
            )
            for i, sampling in enumerate(candidates)
        ]
        for worker in workers:
            worker.measure(True, 0.0)
        measured = [
            [[worker.measure(learn, seconds).env_steps_per_s for worker in workers] for learn in (False, True)]
            for _ in range(rounds)
        ]
    return [
        (statistics.median(alone[i] for alone, _ in measured), statistics.median(both[i] for _, both in measured))
        for i in range(len(candidates))
    ]
