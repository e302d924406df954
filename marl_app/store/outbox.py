"""A store that may be unavailable for a while: publishes wait in a folder until they can be delivered.

Every blob and note is first written durably to the folder, and removed from it once the store gives it back. So a
publish neither fails nor is lost while the store is down or if this process dies: the next process that writes delivers
it. Reading delivers nothing: the run may be someone else's, whose record names this folder and the store. If the folder
has no room, the publish goes directly to the store; it fails only if that fails too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marl_app.store.codec import CorruptBlob
from marl_app.store.disk import DiskStore
from marl_app.store.object_store import ObjectStore
from marl_app.store.store import KINDS, Store, Unavailable, note_path

logger = logging.getLogger(__name__)


class Outbox:
    """A `store.Store` for the publishing process; pickling it gives the store behind it.

    first_pause_s, longest_pause_s: pause between two delivery attempts, which doubles from the first to the longest.
    """

    def __init__(
        self, store: Store, folder: str | Path, first_pause_s: float = 1.0, longest_pause_s: float = 30.0
    ) -> None:
        self.store = store
        self._folder = DiskStore(folder)
        self._pauses = first_pause_s, longest_pause_s
        self._delivering = threading.Lock()  # one delivery at a time; held during requests to the store
        self._state = threading.Lock()  # guards the notes in the folder and `_thread`; never held during a request
        self._thread: threading.Thread | None = None

    def start_writing(self) -> None:
        """Deliver what an earlier process has left in the folder, which is made if it is missing. Raises OSError."""
        self._folder.start_writing()
        self._deliver_or_wait()

    @property
    def queued(self) -> int:
        """Number of blobs that wait for delivery."""
        return len(self._folder.list())

    def put(self, data: bytes) -> str:
        try:
            # First to the local folder, which survives the death of this process.
            digest = self._folder.put(data)
        except OSError as error:
            logger.warning("%s: bypassing the outbox, publishing directly to the store", error)
            return self.store.put(data)
        self._deliver_or_wait()
        return digest

    def get(self, digest: str) -> bytes:
        try:
            # What waits for delivery is not in the store yet.
            return self._folder.get(digest)
        except KeyError:
            return self.store.get(digest)

    def has(self, digest: str) -> bool:
        return self._folder.has(digest) or self.store.has(digest)

    def list(self) -> dict[str, float]:
        return dict(sorted({**self.store.list(), **self._folder.list()}.items()))

    def delete(self, digest: str) -> None:
        self._folder.delete(digest)
        self.store.delete(digest)

    def note(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        try:
            with self._state:
                self._folder.note(kind, name, content)
        except OSError:
            self.store.note(kind, name, content)
            with self._state:  # an older note in the folder must not overwrite it later
                (self._folder.path / note_path(kind, name)).unlink(missing_ok=True)
            return
        self._deliver_or_wait()

    def notes(self, kind: str) -> dict[str, dict[str, Any]]:
        return {**self.store.notes(kind), **self._folder.notes(kind)}

    def _deliver_or_wait(self) -> None:
        """Deliver now; if the store is unavailable, start a thread that retries until it succeeds."""
        with self._state:
            # A thread is retrying: it delivers this publish, too, and this call does not wait for the store.
            if self._thread is not None:
                return
        try:
            self._deliver()
        except Unavailable as error:
            logger.warning("%s; publishes wait in %s", error, self._folder.path)
            with self._state:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._keep_trying, name="outbox", daemon=True)
                    self._thread.start()

    def _keep_trying(self) -> None:
        pause, longest = self._pauses
        wait = threading.Event().wait
        while True:
            wait(pause)
            try:
                self._deliver()
            except Exception as error:  # the thread must survive until everything is delivered
                if not isinstance(error, Unavailable):
                    logger.exception("cannot deliver the publishes in %s", self._folder.path)
                pause = min(2 * pause, longest)
                continue
            # Under the lock: a publish that comes later finds no thread, and delivers itself.
            with self._state:
                if not self._folder.list() and not any(self._folder.notes(kind) for kind in KINDS):
                    self._thread = None
                    logger.warning("the store answers again; all waiting publishes are delivered")
                    return

    def _deliver(self) -> None:
        """Deliver everything in the folder: blobs first, then the notes that refer to them."""
        with self._delivering:
            for digest in self._folder.list():
                try:
                    blob = self._folder.get(digest)
                except KeyError:  # delivered by another process
                    continue
                except CorruptBlob as error:
                    logger.error("cannot deliver %s: %s", digest, error)
                    self._folder.set_aside(digest)
                    continue
                # Remove the file only after the store has the blob; a crash in between only repeats the put. A store
                # may accept a put and not keep it, so the blob is read back once, and its digest checked.
                self.store.put(blob)
                try:
                    self.store.get(digest)
                except (KeyError, CorruptBlob) as error:
                    raise Unavailable(f"the store accepted snapshot {digest} and does not have it") from error
                (self._folder.path / digest).unlink(missing_ok=True)
            for kind in KINDS:
                for name, content in self._folder.notes(kind).items():
                    self.store.note(kind, name, content)
                    with self._state:
                        if self._folder.notes(kind).get(name) == content:  # else it was replaced meanwhile
                            (self._folder.path / note_path(kind, name)).unlink(missing_ok=True)

    def __deepcopy__(self, memo: Any) -> Outbox:
        return self  # one outbox per folder: copies of a configuration share it

    def __reduce__(self) -> tuple[Any, tuple[Store]]:
        # Other processes read the store; only this one uses the folder.
        return _identity, (self.store,)


def start_writing(store: Store) -> None:
    """Make ready the store of a run that writes to it: its folder, and what waits in its outbox. Raises OSError."""
    if isinstance(store, DiskStore | Outbox):
        store.start_writing()


def count_queued(store: Store) -> int:
    """Return the number of blobs that wait for delivery to a store; 0 for a store without an outbox."""
    return store.queued if isinstance(store, Outbox) else 0


def _identity(store: Store) -> Store:
    return store


def object_store(
    url: str | None, outbox: str, timeout_s: float, retry_s: float, options: Mapping[str, str] | None
) -> Outbox:
    """Make the option `store=object_store`: an `ObjectStore` behind an outbox in the run directory."""
    if not url:
        raise ValueError("store.url is not given: give a URL such as store.url=s3://bucket/league")
    return Outbox(ObjectStore(url, timeout_s, retry_s, options), outbox)
