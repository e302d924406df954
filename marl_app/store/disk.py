"""A store in a folder: one file per blob, named by its digest; notes in the folders `facts` and `references`.

What it survives, and how:
- A crash, a kill or a full disk during `put`: bytes go to a temporary file in the same folder, which is synced and then
  renamed (rename is atomic on POSIX file systems). Then the folder is synced, because without it a power cut may
  leave an empty file. A blob exists completely or not at all; a killed writer leaves at most a hidden temporary file,
  which is never read.
- Concurrent writers: all of them write the same bytes, so the order of their renames does not matter.
- Corrupted or swapped files: every `get` hashes what it read. Wrong bytes are never returned. The next `put` of the
  right bytes moves the file to `<digest>.corrupt` for inspection, and so repairs the store.
- Folders of others: reading changes nothing. The folder is made by the first `put`, and only a writer moves a file.
- Unsafe names: only 64 hexadecimal characters name a blob, so no name leads out of the folder. A symbolic link in the
  place of a blob is not followed and counts as corrupt.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marl_app.durable import make_folder, replacing, sync_folder, write_durably
from marl_app.store.codec import CorruptBlob
from marl_app.store.store import FACTS, checked_digest, digest_of, is_digest, note_path


class DiskStore:
    """A folder as a `store.Store`. A missing one is empty, and made at the first `put`; processes may share it.

    Raises FileExistsError if the path is that of something else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"{self.path} is not a folder")

    def start_writing(self) -> None:
        """Make the folder now. Raises OSError if that is not possible, before anything depends on it."""
        make_folder(self.path)

    def put(self, data: bytes) -> str:
        """See `Store.put`. An OSError (e.g. no space left) leaves the store unchanged."""
        digest = digest_of(data)
        final = self._file(digest)
        present = os.path.lexists(final)  # asked before reading: a file that another process writes now is intact
        if _read(final) == data:
            # Already stored: a new modification time makes it count as new, which protects it from garbage collection.
            os.utime(final)
            return digest
        with replacing(final) as temporary:
            temporary.write_bytes(data)
            if present:
                self.set_aside(digest)
        return digest

    def get(self, digest: str) -> bytes:
        """See `Store.get`. A corrupt file is left as it is: this may be the store of a run of someone else."""
        file = self._file(digest)
        data = _read(file)
        if data is None:
            # lexists: a symbolic link or folder in the place of the blob counts as corrupt, not as missing.
            if not os.path.lexists(file):
                raise KeyError(f"no blob {digest} in {self.path}")
        elif digest_of(data) == digest:
            return data
        raise CorruptBlob(f"{file} does not have the digest that names it")

    def has(self, digest: str) -> bool:
        file = self._file(digest)
        return file.is_file() and not file.is_symlink()

    def list(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name in sorted(os.listdir(self.path)) if self.path.exists() else ():
            if is_digest(name):
                try:
                    found[name] = (self.path / name).lstat().st_mtime
                except FileNotFoundError:  # deleted or quarantined since listdir
                    continue
        return found

    def delete(self, digest: str) -> None:
        self._file(digest).unlink(missing_ok=True)
        (self.path / note_path(FACTS, digest)).unlink(missing_ok=True)
        if self.path.exists():
            sync_folder(self.path)

    def note(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        file = self.path / note_path(kind, name)
        write_durably(file, json.dumps(content).encode())

    def notes(self, kind: str) -> dict[str, dict[str, Any]]:
        # "[!.]*" skips the hidden temporary files of writers in progress.
        files = sorted((self.path / kind).glob("[!.]*.json"))
        contents = {file.stem: _read(file) for file in files}
        return {name: json.loads(data) for name, data in contents.items() if data is not None}  # None: removed

    def _file(self, digest: str) -> Path:
        name = checked_digest(digest)
        return self.path / name

    def set_aside(self, digest: str) -> None:
        """Move a corrupt file to `<digest>.corrupt`, for inspection; one that is intact again stays."""
        file, aside = self._file(digest), self.path / f"{digest}.corrupt"
        try:
            file.replace(aside)
        except FileNotFoundError:  # another process has moved it
            return
        # Check what was moved, not what was read before: a `put` may have come in between.
        data = _read(aside)
        if data is not None and digest_of(data) == digest:
            aside.replace(file)
        sync_folder(self.path)


def _read(file: Path) -> bytes | None:
    """Return the content of a regular file; None if it is missing, or anything else, such as a link or a pipe.

    Raises OSError, also for a file that is larger than the memory.
    """
    # Without O_NONBLOCK a pipe would be waited for.
    added = os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with open(file, "rb", opener=lambda path, flags: os.open(path, flags | added)) as stream:
            status = os.fstat(stream.fileno())
            if status.st_size > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
                raise OSError(errno.EFBIG, "larger than the memory", str(file))
            return stream.read() if stat.S_ISREG(status.st_mode) else None
    except OSError as error:
        # ENXIO: a socket. ENOTDIR: the folder is none.
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENOTDIR):
            return None
        raise
