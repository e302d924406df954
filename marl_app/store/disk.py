"""A store in a folder: one file per blob, named by its digest.

What it survives, and how:
- A crash, a kill or a full disk in the middle of `put`: bytes go to a temporary file in the same folder, are synced,
  and only then get their name (rename is atomic on POSIX file systems); then the folder is synced, without which a
  power cut may leave an empty file. A blob is there as a whole or not at all; a killed writer leaves at most a hidden
  temporary file, which nothing reads.
- Writers at the same time: they write the same bytes, and whoever renames last changes nothing.
- Bytes that rot or were swapped: every `get` hashes what it read. Wrong bytes are moved aside to `<digest>.corrupt`, to
  be looked at, and never handed out; the next `put` of the right ones repairs the store.
- Odd names: only 64 hexadecimal characters name a blob, so no name leads out of the folder; a symbolic link in the
  place of a blob is not followed and counts as corrupt.
"""

from __future__ import annotations

import errno
import os
import re
import uuid
from pathlib import Path

from marl_app.store.codec import CorruptBlob
from marl_app.store.store import digest_of

_DIGEST = re.compile(r"[0-9a-f]{64}")


class DiskStore:
    """Satisfies `store.Store`. The folder is made if it is missing; any number of processes may share it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self.path.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes) -> str:
        """See `Store.put`. OSError (e.g. no space left) leaves the store as it was."""
        digest = digest_of(data)
        final = self._file(digest)
        if _read(final) != data:
            temporary = self.path / f".{digest}.{uuid.uuid4().hex}.tmp"
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(final)
            finally:
                temporary.unlink(missing_ok=True)
        self._sync()
        return digest

    def get(self, digest: str) -> bytes:
        """See `Store.get`. A corrupt file is moved aside; the error names it."""
        file = self._file(digest)
        data = _read(file)
        if data is None:
            if not os.path.lexists(file):
                raise KeyError(f"no blob {digest} in {self.path}")
        elif digest_of(data) == digest:
            return data
        return self._quarantine(digest)

    def has(self, digest: str) -> bool:
        file = self._file(digest)
        return file.is_file() and not file.is_symlink()

    def list(self) -> tuple[str, ...]:
        return tuple(sorted(entry.name for entry in os.scandir(self.path) if _DIGEST.fullmatch(entry.name)))

    def delete(self, digest: str) -> None:
        self._file(digest).unlink(missing_ok=True)
        self._sync()

    def _file(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"a digest has 64 lowercase hexadecimal characters, unlike {digest!r}")
        return self.path / digest

    def _quarantine(self, digest: str) -> bytes:
        """Move the blob aside and raise CorruptBlob, unless somebody has just repaired it: then put it back."""
        file, aside = self._file(digest), self.path / f"{digest}.corrupt"
        try:
            file.replace(aside)
        except FileNotFoundError:
            raise CorruptBlob(f"{file} was corrupt and somebody else has moved it aside") from None
        data = _read(aside)
        if data is not None and digest_of(data) == digest:
            aside.replace(file)
            return data
        self._sync()
        raise CorruptBlob(f"{file} does not hold the bytes of its name; moved to {aside.name}")

    def _sync(self) -> None:
        """Make renames and removals in the folder durable."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read(file: Path) -> bytes | None:
    """The content of a regular file; None if there is none, or a symbolic link or folder in its place."""
    try:
        with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW)) as stream:
            return stream.read()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.EISDIR):
            return None
        raise
