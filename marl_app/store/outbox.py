"""A store that may be away for a while: what is published waits in a folder until it can be delivered.

Every blob and note is written to the folder first, durably, and leaves it when the store has it. So a publish neither
fails nor is lost while the store is down, nor when this process dies: the next one that opens the folder delivers it.
Where the folder has no room, the store has to take it at once; only if neither does, a publish fails.
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
    """Satisfies `store.Store`, in the process that publishes; pickled, it becomes the store behind it.

    first_pause_s, longest_pause_s: between two attempts to deliver; the pause doubles.
    """

    def __init__(
        self, store: Store, folder: str | Path, first_pause_s: float = 1.0, longest_pause_s: float = 30.0
    ) -> None:
        self.store = store
        self._folder = DiskStore(folder)
        self._pauses = first_pause_s, longest_pause_s
        self._delivering = threading.Lock()
        self._state = threading.Lock()  # of the notes in the folder, and of `_thread`; never held for long
        self._thread: threading.Thread | None = None
        self._deliver_or_wait()

    @property
    def queued(self) -> int:
        """Blobs that the store does not have yet."""
        return len(self._folder.list())

    def put(self, data: bytes) -> str:
        try:
            digest = self._folder.put(data)
        except OSError as error:
            logger.warning("%s: past the outbox, to the store", error)
            return self.store.put(data)
        self._deliver_or_wait()
        return digest

    def get(self, digest: str) -> bytes:
        try:
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
            with self._state:  # an older one must not take its place
                (self._folder.path / note_path(kind, name)).unlink(missing_ok=True)
            return
        self._deliver_or_wait()

    def notes(self, kind: str) -> dict[str, dict[str, Any]]:
        return {**self.store.notes(kind), **self._folder.notes(kind)}

    def _deliver_or_wait(self) -> None:
        """Deliver now, or leave it to a thread that tries until it can."""
        with self._state:
            if self._thread is not None:
                return
        try:
            self._deliver()
        except Unavailable as error:
            logger.warning("%s; what is published waits in %s", error, self._folder.path)
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
            except Exception as error:  # this thread must not end before everything is delivered
                if not isinstance(error, Unavailable):
                    logger.exception("cannot deliver what waits in %s", self._folder.path)
                pause = min(2 * pause, longest)
                continue
            with self._state:  # whoever writes after this finds no thread, and delivers itself
                if not self._folder.list() and not any(self._folder.notes(kind) for kind in KINDS):
                    self._thread = None
                    logger.warning("the store answers again; everything that waited is delivered")
                    return

    def _deliver(self) -> None:
        """Everything in the folder: blobs first, then the notes, which speak of them."""
        with self._delivering:
            for digest in self._folder.list():
                try:
                    blob = self._folder.get(digest)
                except (KeyError, CorruptBlob) as error:  # another process has delivered it; or it rotted, and is aside
                    logger.error("cannot deliver %s: %s", digest, error)
                    continue
                self.store.put(blob)
                (self._folder.path / digest).unlink(missing_ok=True)
            for kind in KINDS:
                for name, content in self._folder.notes(kind).items():
                    self.store.note(kind, name, content)
                    with self._state:
                        if self._folder.notes(kind).get(name) == content:  # else somebody has just replaced it
                            (self._folder.path / note_path(kind, name)).unlink(missing_ok=True)

    def __deepcopy__(self, memo: Any) -> Outbox:
        return self  # one folder, one outbox

    def __reduce__(self) -> tuple[Any, tuple[Store]]:
        return _itself, (self.store,)


def count_queued(store: Store) -> int:
    """How many snapshots wait to be delivered to a store."""
    return store.queued if isinstance(store, Outbox) else 0


def _itself(store: Store) -> Store:
    return store


def object_store(
    url: str | None, outbox: str, timeout_s: float, retry_s: float, options: Mapping[str, str] | None
) -> Outbox:
    """The leaf `store=object_store`: an `ObjectStore`, and an outbox in the run's directory."""
    if not url:
        raise ValueError("store.url is not given: e.g. store.url=s3://bucket/league")
    return Outbox(ObjectStore(url, timeout_s, retry_s, options), outbox)
