"""The best way for RLlib's own PPO to sample, one choice after the other, each with the best of those before it."""

from __future__ import annotations

import functools
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.contestant import Contestant
from benchmarks.settings import Settings
from benchmarks.tables import Rows
from benchmarks.worker import Worker

if TYPE_CHECKING:
    from benchmarks.contestants.stock import Sampling

CHOICES: tuple[tuple[str, tuple[int | bool, ...]], ...] = (
    ("num_env_runners", (0, 1, 2)),
    ("num_envs_per_env_runner", (1, 16, 32, 64, 128)),
    ("batch_rows", (4096, 8192, 16384)),
    ("rollout_fragment_length", (0, 16, 64)),
    ("episodes_to_numpy", (True, False)),
    ("flat", (True, False)),
)


def search(settings: Settings, rounds: int, seconds: float, console: Console) -> Rows:
    """Try every choice; what each gave, in env steps/s, and which were kept. Says how it goes on the console."""
    from benchmarks.contestants.stock import Sampling

    best = Sampling(num_env_runners=2, num_envs_per_env_runner=32, batch_rows=settings.stock_rows)
    rows: Rows = [["setting", "sampling", "learning too", "kept"]]
    known: dict[Sampling, tuple[float, float]] = {}
    for name, values in CHOICES:
        candidates = [replace(best, **{name: value}) for value in values]
        for candidate in candidates:
            if candidate not in known:
                known[candidate] = speed(candidate, settings, rounds, seconds)
                console.print(f"{candidate}: {known[candidate][0]:,.0f} and {known[candidate][1]:,.0f} env steps/s")
        best = max(candidates, key=lambda candidate: known[candidate][1])
        for candidate in candidates:
            figures = [f"{rate:,.0f}" for rate in known[candidate]]
            rows.append([f"{name}={getattr(candidate, name)}", *figures, "yes" if candidate == best else ""])
    return rows


def speed(sampling: Sampling, settings: Settings, rounds: int, seconds: float) -> tuple[float, float]:
    """Median env steps/s, sampling alone and with learning."""
    with (
        tempfile.TemporaryDirectory(prefix="benchmark") as logs,
        Worker(functools.partial(stock, settings, sampling), Path(logs) / "log") as worker,
    ):
        worker.measure(True, 0.0)
        rates = [[worker.measure(learn, seconds).env_steps_per_s for learn in (False, True)] for _ in range(rounds)]
    alone, learning = (statistics.median(column) for column in zip(*rates, strict=True))
    return alone, learning


def stock(settings: Settings, sampling: Sampling) -> Contestant:
    """RLlib's own PPO, in the process that measures it."""
    from benchmarks.contestants.stock import Stock

    return Stock(settings, sampling)
