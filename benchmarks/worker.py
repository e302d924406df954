"""A process of its own for each contestant, that waits until it is its turn."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.contestant import BenchmarkContestant, Rates, measure
from benchmarks.game import LineupEntry
from benchmarks.processes import pause, resume, wake_if_parent_dies
from benchmarks.settings import Settings

ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    # Ray's actors run at niceness 15 unless told otherwise: whatever else the machine does would starve them first.
    "RAY_worker_niceness": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
CLOSING_TIMEOUT_S = 60.0


class Worker:
    """One contestant in a process of its own, with one math thread; what it prints goes to the file `log`.

    It is stopped, with everything it started, unless it is measured. Raises RuntimeError, with the traceback, for
    whatever is raised there.
    """

    def __init__(self, entry: LineupEntry, settings: Settings, log: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=run_worker, args=(theirs, entry, settings, str(log)))
        before = dict(os.environ)
        os.environ.update(ENVIRONMENT)
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        theirs.close()
        self._receive()
        pause(self._process.pid)

    def measure(self, learn: bool, seconds: float) -> Rates:
        """One round."""
        return self._request(learn, seconds)

    def facts(self) -> dict[str, float]:
        """See `BenchmarkContestant.facts`."""
        return self._request()

    def close(self) -> None:
        """End the process and what it started."""
        resume(self._process.pid)
        self._connection.close()
        self._process.join(CLOSING_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _request(self, *arguments: Any) -> Any:
        resume(self._process.pid)
        self._connection.send(arguments)
        reply = self._receive()
        pause(self._process.pid)
        return reply

    def _receive(self) -> Any:
        try:
            reply = self._connection.recv()
        except EOFError:
            raise RuntimeError("a contestant's process has died") from None
        if isinstance(reply, str):
            raise RuntimeError(reply)
        return reply


def run_worker(connection: Connection, entry: LineupEntry, settings: Settings, log: str) -> None:
    """The process: build the contestant, then measure or tell facts when asked, until the connection is closed."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.setsid()  # for `pause`; a Ctrl-C reaches only the benchmark, which closes the connection
    wake_if_parent_dies()
    import torch

    torch.set_num_threads(1)
    contestant: BenchmarkContestant | None = None
    try:
        contestant = build_contestant(entry, settings)
        connection.send(None)
        while True:
            arguments = connection.recv()
            connection.send(measure(contestant, *arguments) if arguments else contestant.facts())
    except (EOFError, BrokenPipeError):
        pass
    except Exception:
        connection.send(traceback.format_exc())
    finally:
        resume(os.getpid())
        if contestant is not None:
            contestant.close()


def build_contestant(entry: LineupEntry, settings: Settings) -> BenchmarkContestant:
    """The contestant, ready to run. What it needs is imported here: the processes of the others do without."""
    if entry.kind == "stock":
        from benchmarks.contestants.stock import Stock

        return Stock(settings)
    if entry.kind == "bare":
        from benchmarks.contestants.bare import LOOPS

        return LOOPS[settings.game](settings)
    from benchmarks.contestants.ours import Ours

    return Ours(settings, entry.overrides, settings.snapshots if entry.pool else 0)
