"""Durable writes: what has been written here survives the loss of power, whole or not at all.

The rule of POSIX: the content of a file is durable after `fsync` of the file, and its name (created, renamed, removed)
after `fsync` of its folder.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden path next to `path` to write to, and rename it to `path` unless an exception was raised."""
    make_folder(path.parent)
    # A random name, so that concurrent writers do not share a temporary file.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        # The order is the guarantee: content, rename, and the name last (below).
        sync_file(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Write a whole file, or raise OSError and leave the file as it was."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, if they are missing."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_file(file: Path) -> None:
    """Make the content of a file durable."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: new, renamed and removed ones."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
