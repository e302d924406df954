"""A process of its own for each contestant, that waits until it is its turn."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

from benchmarks.contestant import Contestant, Rates, measure
from benchmarks.lineup import build
from benchmarks.sessions import pause, resume, wake_if_parent_dies
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

    def __init__(self, name: str, settings: Settings, log: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, name, settings, str(log)))
        before = dict(os.environ)
        os.environ.update(ENVIRONMENT)
        try:
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        theirs.close()
        self._answer()
        pause(self._process.pid)

    def measure(self, learn: bool, seconds: float) -> Rates:
        """One round."""
        resume(self._process.pid)
        self._connection.send((learn, seconds))
        rates = self._answer()
        pause(self._process.pid)
        return rates

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

    def _answer(self) -> Rates:
        try:
            answer = self._connection.recv()
        except EOFError:
            raise RuntimeError("a contestant's process has died") from None
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer


def serve(connection: Connection, name: str, settings: Settings, log: str) -> None:
    """The process: build the contestant, then measure whenever asked, until the connection is closed."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.setsid()  # for `pause`; a Ctrl-C reaches only the benchmark, which closes the connection
    wake_if_parent_dies()
    import torch

    torch.set_num_threads(1)
    contestant: Contestant | None = None
    try:
        contestant = build(name, settings)
        connection.send(None)
        while True:
            learn, seconds = connection.recv()
            connection.send(measure(contestant, learn, seconds))
    except (EOFError, BrokenPipeError):
        pass
    except Exception:
        connection.send(traceback.format_exc())
    finally:
        resume(os.getpid())
        if contestant is not None:
            contestant.close()
