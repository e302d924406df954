"""A store in a folder: one file per blob, named by its digest; notes in the folders `facts` and `references`.

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
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marl_app.store.codec import CorruptBlob
from marl_app.store.store import FACTS, checked_digest, digest_of, is_digest, note_path


class DiskStore:
    """Satisfies `store.Store`. The folder is made if it is missing; any number of processes may share it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self.path.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes) -> str:
        """See `Store.put`. OSError (e.g. no space left) leaves the store as it was."""
        digest = digest_of(data)
        final = self._file(digest)
        if _read(final) == data:
            os.utime(final)
        else:
            self._write(final, data)
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

    def list(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name in sorted(os.listdir(self.path)):
            if is_digest(name):
                try:
                    found[name] = (self.path / name).lstat().st_mtime
                except FileNotFoundError:  # deleted or moved aside a moment ago
                    continue
        return found

    def delete(self, digest: str) -> None:
        self._file(digest).unlink(missing_ok=True)
        (self.path / note_path(FACTS, digest)).unlink(missing_ok=True)
        self._sync()

    def note(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        file = self.path / note_path(kind, name)
        file.parent.mkdir(exist_ok=True)
        self._write(file, json.dumps(content).encode())

    def notes(self, kind: str) -> dict[str, dict[str, Any]]:
        files = sorted((self.path / kind).glob("[!.]*.json"))
        contents = {file.stem: _read(file) for file in files}
        return {name: json.loads(data) for name, data in contents.items() if data is not None}  # None: just removed

    def _file(self, digest: str) -> Path:
        name = checked_digest(digest)
        return self.path / name

    def _write(self, file: Path, data: bytes) -> None:
        """A file as a whole, durable, or not at all."""
        temporary = file.parent / f".{file.name}.{uuid.uuid4().hex}.tmp"
        try:
            with temporary.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
        self._sync(file.parent)

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

    def _sync(self, folder: Path | None = None) -> None:
        """Make renames and removals in the folder durable."""
        descriptor = os.open(folder or self.path, os.O_RDONLY)
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
