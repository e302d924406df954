"""How an env runner gets snapshots: from the store itself, or from a cache in front of it.

`conf/cache` chooses. `Direct` is the default: on one machine a store is a folder, which the operating system caches
already, and a process in between would only cost time. A cluster wants `rack_caches`.
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
"""How often bytes are fetched that come back corrupt."""
STORE = "the store"
FETCH_ERRORS = (KeyError, CorruptBlob, OSError)
"""What a reader raises if bytes cannot be had now: they are not there, not intact, or the store does not answer."""
RETRY_PAUSE_S = 30.0
"""A snapshot that could not be had is not asked for again for so long: matches go on with what is there."""


class Reader(Protocol):
    """For one thread. `traffic` counts what moved; `rack` names the rack it is in, "" where there are none."""

    rack: str

    @property
    def traffic(self) -> Traffic: ...

    def get(self, digest: str, in_use: Iterable[str]) -> Buffer:
        """The verified bytes, which must not be written to. `in_use`: the snapshots that the caller holds and plays.

        Raises one of `FETCH_ERRORS` if they cannot be had now.
        """
        ...


Inventory = Callable[[], Mapping[str, frozenset[str]]]
"""The digests that the caches hold, by rack, as far as they have said so; called now and then, it asks them anew."""


class CacheOption(Protocol):
    """A leaf of `conf/cache`."""

    def start(self, store: Store) -> Any:
        """In the algorithm's process: whatever has to run, as an object that keeps it running."""
        ...

    def reader(self, store: Store) -> Reader:
        """In an env runner: its way to the snapshots."""
        ...

    def inventory(self) -> Inventory:
        """In the algorithm's process, after `start`: what the caches hold, without waiting for them."""
        ...


class Direct:
    """No cache: every env runner reads the store."""

    def start(self, store: Store) -> None:
        """Nothing has to run."""

    def reader(self, store: Store) -> DirectReader:
        return DirectReader(store)

    def inventory(self) -> Inventory:
        return dict


class DirectReader:
    """Reads a store. What fails is not tried again for `RETRY_PAUSE_S`; the same exception is raised meanwhile.

    A store that does not answer is not asked for anything else either: each request would wait as long.
    """

    rack = ""

    def __init__(self, store: Store, pause_s: float = RETRY_PAUSE_S) -> None:
        self.traffic = Traffic()
        self._store = store
        self._pause_s = pause_s
        self._failed: dict[str, tuple[float, Exception]] = {}  # by digest, or STORE: until when, and why

    def get(self, digest: str, in_use: Iterable[str] = ()) -> Buffer:
        began = time.monotonic()
        until, error = self._failed.get(STORE, self._failed.get(digest, (began, None)))
        if error is not None and began < until:
            raise error.with_traceback(None)  # raised again and again, it would collect frames
        self.traffic.requests += 1
        try:
            data = fetch(self._store, digest, self.traffic, STORE_TO_RUNNER)
        except FETCH_ERRORS as failure:
            self.traffic.failed += 1
            what = STORE if isinstance(failure, OSError) else digest
            self._failed[what] = time.monotonic() + self._pause_s, failure
            logger.warning("no snapshot %s for now, going on without it: %s", digest[:12], failure)
            raise
        self._failed.pop(digest, None)
        self._failed.pop(STORE, None)
        self.traffic.seconds += time.monotonic() - began
        return data


def fetch(store: Store, digest: str, traffic: Traffic, link: str) -> bytes:
    """Verified bytes from the store; corrupt ones are counted, thrown away and fetched again, `MAX_ATTEMPTS` in all."""
    corrupt: CorruptBlob | None = None
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
            break  # the store has moved it aside, and nobody has put it again yet
        else:
            traffic.record_transfer(link, len(data))
            return data
    assert corrupt is not None
    raise corrupt
