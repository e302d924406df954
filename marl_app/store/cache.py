"""A thread-safe cache of blobs: bounded in bytes, and concurrent requests for one digest share one fetch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Generic, TypeVar

from marl_app.store.lru import Lru

V = TypeVar("V")


class Cache(Generic[V]):
    """An LRU cache in front of `fetch(digest) -> (value, bytes)`.

    Only one thread at a time fetches a digest. Other threads that request it meanwhile wait and get the same value or
    the same exception; exceptions are not cached, so the next request fetches again.
    """

    def __init__(self, fetch: Callable[[str], tuple[V, int]], capacity_bytes: int) -> None:
        self._fetch = fetch
        self._cached: Lru[str, V] = Lru(capacity_bytes)
        # digest -> the result of the fetch in progress; guarded by `_lock`, as `_cached` is
        self._in_progress: dict[str, Future[V]] = {}
        self._lock = threading.Lock()

    @property
    def size(self) -> float:
        """Bytes in the cache."""
        return self._cached.size

    def get(self, digest: str) -> tuple[V, bool]:
        """Return (value, hit): hit is False only for the caller that fetched. Raises what `fetch` raises."""
        with self._lock:
            value = self._cached.get(digest)
            if value is not None:
                return value, True
            pending = self._in_progress.get(digest)
            fetches_here = pending is None
            if pending is None:
                pending = self._in_progress[digest] = Future()
        if not fetches_here:
            return pending.result(), True
        # Fetch without the lock, so that hits on other digests do not wait for it.
        try:
            value, size = self._fetch(digest)
        except BaseException as error:
            # Remove the entry before the waiting threads wake up: their next request starts a new fetch.
            with self._lock:
                del self._in_progress[digest]
            pending.set_exception(error)
            raise
        with self._lock:
            del self._in_progress[digest]
            self._cached.add(digest, value, size)
        pending.set_result(value)
        return value, False

    def digests(self) -> list[str]:
        """Return the digests in the cache, least recently used first."""
        with self._lock:
            return list(self._cached)

    def drop(self, digest: str) -> None:
        """Remove a value, so that the next request fetches it again."""
        with self._lock:
            self._cached.drop(digest)

    def pin(self, owner: str, digests: Iterable[str]) -> None:
        """Protect the digests that `owner` uses from eviction; replaces those that it pinned before."""
        with self._lock:
            self._cached.pin(owner, digests)
