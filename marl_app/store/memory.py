"""How much memory a process has for itself."""

from __future__ import annotations

from pathlib import Path


def private_bytes() -> int:
    """Memory that no other process shares: libraries and Ray's shared memory are not in it. 0 where there is no Linux.

    Linux's RssAnon, in 0.05 ms; what it counts twice, memory that is shared with a fork until written to, Ray has not.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)
