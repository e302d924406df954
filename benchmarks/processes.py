"""All processes of a contestant: pause them while others are measured, and sum their CPU time.

A contestant leads a session (`os.setsid`), and all processes that it starts belong to it. Pausing matters because an
idle Ray takes some percent of a core, and several contestants have one. Without /proc nothing is paused, and only the
CPU time of the contestant's main process is counted.
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
    """Pause all processes of a session (SIGSTOP)."""
    _signal(session, signal.SIGSTOP)


def resume(session: int) -> None:
    """Continue all processes of a session (SIGCONT)."""
    _signal(session, signal.SIGCONT)


def wake_if_parent_dies() -> None:
    """Have the kernel continue this process when its parent dies; a paused process would otherwise never end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGCONT)


def cpu_seconds() -> float:
    """Return the CPU time so far, in seconds, of the living processes of this session."""
    ticks = 0
    for process in _processes(os.getsid(0)):
        with suppress(OSError):
            # The fields after the process name in parentheses, which may contain spaces: proc_pid_stat(5).
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # utime and stime
    return ticks / os.sysconf("SC_CLK_TCK") if ticks else sum(os.times()[:2])


def _signal(session: int, number: signal.Signals) -> None:
    for process in _processes(session):
        # A process may end between the listing and the signal.
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)


def _processes(session: int) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getsid(int(entry.name)) == session:
                yield int(entry.name)
