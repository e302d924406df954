"""Measure contestants in turns: all processes are alive, and those of a single contestant run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from benchmarks.contestant import Rates
from benchmarks.game import LineupEntry
from benchmarks.report import LEARNING, SAMPLING, Facts, Rounds
from benchmarks.settings import Settings
from benchmarks.worker import Worker


def measure_in_turns(
    entries: Mapping[str, LineupEntry], settings: Settings, rounds: int, seconds: float, console: Console
) -> tuple[Rounds, Facts]:
    """Warm up all contestants, then per round measure each sampling alone, then each learning too; print progress."""
    width = max(map(len, entries))
    measured: dict[str, dict[str, list[Rates]]] = {name: {SAMPLING: [], LEARNING: []} for name in entries}
    with tempfile.TemporaryDirectory(prefix="benchmark") as logs, ExitStack() as opened:
        workers: dict[str, Worker] = {}
        for name, entry in entries.items():
            console.print(f"starting {entry.label}")
            workers[name] = opened.enter_context(Worker(entry, settings, Path(logs) / f"{name}.log"))
            # Warm up both modes; afterwards the process is paused until its first turn.
            for learn in (True, False):
                workers[name].measure(learn, 0.0)
        facts = {name: worker.facts() for name, worker in workers.items()}
        # Every round has a turn of each contestant in both modes, so that slow changes of the load affect all alike.
        for number in range(rounds):
            for mode in (SAMPLING, LEARNING):
                for name, worker in workers.items():
                    rates = worker.measure(mode == LEARNING, seconds)
                    measured[name][mode].append(rates)
                    console.print(
                        f"round {number + 1}/{rounds}  {mode:8}  {name:{width}}  "
                        f"{rates.trained_agent_steps_per_s:>9,.0f} trained agent steps/s  "
                        f"{rates.env_steps_per_s:>9,.0f} env steps/s"
                    )
    return measured, facts
