"""Read a file of a run directory, which may come from elsewhere: no device, no pipe, no link, and of bounded size."""

from __future__ import annotations

import stat
from pathlib import Path


def read_regular(file: Path, most_bytes: int) -> bytes:
    """Return a file's content. Raises ValueError unless it is a regular file of at most `most_bytes`, and OSError."""
    # `lstat` does not follow links, so a link is no regular file.
    status = file.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > most_bytes:
        raise ValueError(f"{file.name} is not a regular file of at most {most_bytes:,} bytes")
    return file.read_bytes()
