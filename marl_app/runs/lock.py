"""A lock on a run directory: two processes that write to one run would mix their records and checkpoints.

The lock is the kernel's (`flock`), so it ends with its process, however that ends, and is never stale. Over NFS Linux
asks the server. Where the file system has no locks, the run prints a warning and goes on without one.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

FILE = ".lock"


class RunInUseError(RuntimeError):
    """Another process trains in this directory; the message says which."""


@contextmanager
def run_lock(directory: Path) -> Iterator[None]:
    """Hold the lock of a run directory. Raises RunInUseError if another process holds it, and OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    # Opened for appending: the content is the holder's until the lock is held. A link is not followed: what it names,
    # in a run of someone else any file, would be emptied.
    with open(directory / FILE, "a+", encoding="utf-8", opener=_open) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunInUseError(
                f"{directory} is in use by {_owner(directory)}: stop it, or wait until it ends"
            ) from None
        except OSError as error:
            logger.warning(
                "%s cannot be locked (%s): make sure that no other process trains in it", directory, error.strerror
            )
        # For the message to another process; the lock itself does not depend on the content.
        file.truncate(0)
        json.dump({"host": socket.gethostname(), "pid": os.getpid(), "start": time.strftime("%Y-%m-%d %H:%M:%S")}, file)
        file.flush()
        try:
            yield
        finally:
            # Emptied, not deleted: another process may have the file open, and would then lock a file without a name.
            file.truncate(0)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)


def _owner(directory: Path) -> str:
    try:
        owner = json.loads((directory / FILE).read_text(encoding="utf-8"))
        return f"process {owner['pid']} on {owner['host']}, which started at {owner['start']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
