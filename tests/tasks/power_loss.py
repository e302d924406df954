"""What a loss of power leaves of a folder, by the strict rule of POSIX.

The content of a file survives as it was at the last `fsync` of the file (empty without one), and the names in a folder
as they were at the last `fsync` of the folder. Real file systems keep more, but promise no more.
"""

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from unittest import mock


class Disk:
    """Follows the syncs below a folder of this process. `states`: what was durable after each of them."""

    def __init__(self, root: Path) -> None:
        self._root = os.stat(root).st_ino
        self._files, self._folders = {}, {self._root: {}}  # by inode: content, and {name: (inode, whether a folder)}
        self.states = []
        self._fsync = os.fsync

    @contextmanager
    def watched(self):
        with mock.patch("os.fsync", self._sync):
            yield self

    def _sync(self, descriptor) -> None:
        descriptor = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        self._fsync(descriptor)
        status, path = os.fstat(descriptor), os.readlink(f"/proc/self/fd/{descriptor}")
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path) as entries:
                names = {entry.name: (entry.inode(), entry.is_dir()) for entry in entries}
            self._folders[status.st_ino] = names
        else:
            self._files[status.st_ino] = Path(path).read_bytes()
        self.states.append((dict(self._files), dict(self._folders)))

    def restore(self, state, target: Path) -> Path:
        """Write to `target` what a power loss at `state` leaves."""
        self._restore(state, self._root, target)
        return target

    def _restore(self, state, inode, target: Path) -> None:
        files, folders = state
        target.mkdir()
        for name, (child, is_folder) in folders.get(inode, {}).items():
            if is_folder:
                self._restore(state, child, target / name)
            else:
                (target / name).write_bytes(files.get(child, b""))
