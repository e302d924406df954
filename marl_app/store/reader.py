"""An env runner's access to snapshots: directly from the store, or through a cache in front of it.

`conf/cache` chooses. `Direct` is the default: on one machine the store is a folder, which the operating system already
caches, and a process in between would only cost time. On a cluster use `rack_caches`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from marl_app.store.codec import Buffer, CorruptBlob
from marl_app.store.store import Store
from marl_app.store.traffic import STORE_TO_RUNNER, Traffic

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
"""Attempts to fetch a blob whose bytes arrive corrupt."""
STORE = "the store"
"""Key of `DirectReader._failed` for a store that does not answer; all others are digests."""
FETCH_ERRORS = (KeyError, CorruptBlob, OSError)
"""Exceptions of a fetch: the blob is missing, it is corrupt, or the store is unreachable."""
RETRY_PAUSE_S = 30.0
"""Pause after a failed fetch before the snapshot is requested again; meanwhile matches go on with other opponents."""


class Reader(Protocol):
    """Access to snapshots, for one thread. `traffic` counts transfers; `rack` names its rack, "" without racks."""

    rack: str

    @property
    def traffic(self) -> Traffic: ...

    def get(self, digest: str, in_use: Iterable[str]) -> Buffer:
        """Return the verified bytes, which must not be written to. `in_use`: digests that the caller plays now.

        Raises one of `FETCH_ERRORS` if the fetch fails.
        """
        ...


Inventory = Callable[[], Mapping[str, frozenset[str]]]
"""A function that returns the digests in each rack's cache, as last reported; each call also requests an update."""


class CacheOption(Protocol):
    """An option of `conf/cache`."""

    def start(self, store: Store) -> Any:
        """In the algorithm's process: start the caches; return an object that keeps them alive."""
        ...

    def reader(self, store: Store) -> Reader:
        """In an env runner: make its reader."""
        ...

    def inventory(self) -> Inventory:
        """In the algorithm's process, after `start`: return the inventory of the caches, which does not block."""
        ...


class Direct:
    """The option without a cache: every env runner reads the store."""

    def start(self, store: Store) -> None:
        """Do nothing: no process is needed."""

    def reader(self, store: Store) -> DirectReader:
        return DirectReader(store)

    def inventory(self) -> Inventory:
        return dict


class DirectReader:
    """A reader of a store. After a failure, requests for the same digest raise the same exception for `pause_s`.

    If the store does not answer, this holds for all digests, because each request would wait for its timeout.
    """

    rack = ""

    def __init__(self, store: Store, pause_s: float = RETRY_PAUSE_S) -> None:
        self.traffic = Traffic()
        self._store = store
        self._pause_s = pause_s
        # digest or STORE -> (monotonic time until which requests are refused, the exception to raise)
        self._failed: dict[str, tuple[float, Exception]] = {}

    def get(self, digest: str, in_use: Iterable[str] = ()) -> Buffer:
        began = time.monotonic()
        # A failure of the store takes precedence over a failure of the digest.
        until, error = self._failed.get(STORE, self._failed.get(digest, (began, None)))
        if error is not None and began < until:
            raise error.with_traceback(None)  # else each raise would add frames to its traceback
        self.traffic.requests += 1
        try:
            data = fetch(self._store, digest, self.traffic, STORE_TO_RUNNER)
        except FETCH_ERRORS as failure:
            self.traffic.failed += 1
            what = STORE if isinstance(failure, OSError) else digest
            self._failed[what] = time.monotonic() + self._pause_s, failure
            logger.warning("cannot fetch snapshot %s, matches go on without it: %s", digest[:12], failure)
            raise
        # The store answers again, so failures of before no longer count.
        self._failed.pop(digest, None)
        self._failed.pop(STORE, None)
        self.traffic.seconds += time.monotonic() - began
        return data


def fetch(store: Store, digest: str, traffic: Traffic, link: str) -> bytes:
    """Fetch verified bytes from the store and count them in `traffic`.

    Corrupt bytes are counted, discarded and fetched again, up to `MAX_ATTEMPTS` times. Raises one of `FETCH_ERRORS`.
    """
    corrupt: CorruptBlob | None = None
    # Corrupt bytes may have been damaged in transit, so the blob is fetched again.
    for attempt in range(MAX_ATTEMPTS):
        try:
            data = store.get(digest)
        except CorruptBlob as error:
            corrupt = error
            traffic.corrupt += 1
            logger.error("%s; attempt %d of %d", error, attempt + 1, MAX_ATTEMPTS)
        except KeyError:
            if corrupt is None:
                raise
            break  # another process has removed the blob: report the corruption
        else:
            traffic.record_transfer(link, len(data))
            return data
    assert corrupt is not None
    raise corrupt
