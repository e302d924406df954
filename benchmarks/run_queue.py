"""Run many training runs as subprocesses, some at a time, and end them cleanly if the benchmark is interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LOG = "run.log"
"""File in the run directory: standard output and error."""
POLL_S = 0.2
SAVE_S = 120.0
"""Seconds that a run gets to finish its iteration and to save, after an interrupt."""


class TrainingRun(NamedTuple):
    """A training run: its directory and the overrides that it is started with."""

    directory: Path
    overrides: Sequence[str]

    @property
    def command(self) -> list[str]:
        """The command line. A JSON string is a quoted value in Hydra's grammar: paths may hold any character."""
        directory = f"hydra.run.dir={json.dumps(str(self.directory.absolute()))}"
        return [sys.executable, "-m", "marl_app", *self.overrides, directory]

    def start(self) -> subprocess.Popen[bytes]:
        """Start it with one math thread, and a process group of its own: a Ctrl-C in the terminal does not reach it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with (self.directory / LOG).open("wb") as log:
            return subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )


def run_all(runs: Sequence[TrainingRun], parallel: int) -> Iterator[tuple[TrainingRun, int]]:
    """Run all, at most `parallel` at a time; yield (run, exit status) of each when it has ended.

    When the iteration is left early, as by KeyboardInterrupt, the runs in progress are told to stop, save and end.
    """
    # Taken from the end, so the first run is the last element.
    waiting = list(reversed(runs))
    running: dict[subprocess.Popen[bytes], TrainingRun] = {}
    try:
        while waiting or running:
            # 1. Fill the free places.
            while waiting and len(running) < parallel:
                run = waiting.pop()
                running[run.start()] = run
            # 2. Yield the runs that have ended.
            for process in [process for process in running if process.poll() is not None]:
                yield running.pop(process), process.returncode
            time.sleep(POLL_S)
    finally:
        _end(list(running))


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask all processes to end (SIGTERM), and kill those that do not, or all at another interrupt."""
    for process in processes:
        process.terminate()
    # One deadline for all: they save at the same time.
    deadline = time.monotonic() + SAVE_S
    try:
        for process in processes:
            process.wait(max(0.0, deadline - time.monotonic()))
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        for process in processes:
            process.kill()
