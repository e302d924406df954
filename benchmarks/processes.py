"""All processes of a contestant: stopped while others are measured, and their CPU time.

A contestant leads a session (`os.setsid`), to which everything it starts belongs. An idle Ray takes some percent of a
core, and there are several. Where there is no /proc nothing is paused, and only the contestant's own CPU time counted.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def pause(session: int) -> None:
    """Stop all processes of a session where they are."""
    _signal(session, signal.SIGSTOP)


def resume(session: int) -> None:
    """Let them go on."""
    _signal(session, signal.SIGCONT)


def wake_if_parent_dies() -> None:
    """A paused process whose parent is killed would wait for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT)


def cpu_seconds() -> float:
    """CPU time so far of the living processes of this session."""
    ticks = 0
    for process in _processes(os.getsid(0)):
        with suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # user and system
    return ticks / os.sysconf("SC_CLK_TCK") if ticks else sum(os.times()[:2])


def _signal(session: int, number: signal.Signals) -> None:
    for process in _processes(session):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)


def _processes(session: int) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getsid(int(entry.name)) == session:
                yield int(entry.name)
