"""A separate process for each contestant, paused until its turn."""

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
    # Ray's actors run at niceness 15 by default: other load of the machine would starve them first.
    "RAY_worker_niceness": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
CLOSING_TIMEOUT_S = 60.0


class Worker:
    """A contestant in a separate process with one math thread; its output goes to the file `log`.

    The process, with all processes that it started, is paused unless it is measured. Raises RuntimeError with the
    traceback if the contestant raises an exception, or if its process dies.
    """

    def __init__(self, entry: LineupEntry, settings: Settings, log: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=run_worker, args=(theirs, entry, settings, str(log)))
        # The child inherits the environment when it starts; this process gets its environment back.
        before = dict(os.environ)
        os.environ.update(ENVIRONMENT)
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        theirs.close()
        # The child leads a session, whose id is its process id.
        assert self._process.pid is not None
        self._session = self._process.pid
        self._receive()
        pause(self._session)

    def measure(self, learn: bool, seconds: float) -> Rates:
        """Measure one round: sampling alone, or with `learn` also learning."""
        rates: Rates = self._request(learn, seconds)
        return rates

    def facts(self) -> dict[str, float]:
        """Return `BenchmarkContestant.facts`."""
        facts: dict[str, float] = self._request()
        return facts

    def close(self) -> None:
        """End the process and all processes that it started."""
        # A paused process would neither read that the connection is closed nor end.
        resume(self._session)
        self._connection.close()
        self._process.join(CLOSING_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _request(self, *arguments: Any) -> Any:
        resume(self._session)
        self._connection.send(arguments)
        reply = self._receive()
        pause(self._session)
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
    """Run in the child process: build the contestant, then answer requests until the connection is closed.

    A request is the arguments of `measure`, or an empty tuple for the facts; a reply that is a string is a traceback.
    """
    # Standard output and error of this process, and of all that it starts.
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.setsid()  # for `pause`; a Ctrl-C reaches only the benchmark, which closes the connection
    wake_if_parent_dies()
    import torch  # after the environment variables of its math libraries are set

    torch.set_num_threads(1)
    contestant: BenchmarkContestant | None = None
    try:
        contestant = build_contestant(entry, settings)
        connection.send(None)
        while True:
            # An empty request asks for the facts.
            arguments = connection.recv()
            connection.send(measure(contestant, *arguments) if arguments else contestant.facts())
    except (EOFError, BrokenPipeError):
        pass
    except Exception:
        connection.send(traceback.format_exc())
    finally:
        # Its own children may be paused, and have to run in order to end.
        resume(os.getpid())
        if contestant is not None:
            contestant.close()


def build_contestant(entry: LineupEntry, settings: Settings) -> BenchmarkContestant:
    """Return the contestant, ready to run. Its imports are here so that other contestants do not load them."""
    if entry.kind == "stock":
        from benchmarks.contestants.stock import Stock

        return Stock(settings)
    if entry.kind == "bare":
        from benchmarks.contestants.bare import LOOPS

        return LOOPS[settings.game](settings)
    from benchmarks.contestants.ours import Ours

    return Ours(settings, entry.overrides, settings.snapshots if entry.pool else 0)
