"""How much memory a process has for itself."""

from __future__ import annotations

from pathlib import Path


def private_bytes(pid: int | str = "self") -> int:
    """Memory that no other process shares (libraries and Ray's shared memory are not in it); 0 where Linux's /proc is
    not to be had."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))
