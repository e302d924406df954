"""A cache of blobs for several threads: bounded in bytes, and one fetch for all who ask at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Generic, TypeVar

from marl_app.store.lru import Lru

V = TypeVar("V")


class Cache(Generic[V]):
    """`fetch(digest) -> (value, bytes)` is called for what is not held, by one thread for each digest at a time.

    The others that ask for it meanwhile wait for the same value, or get the same exception; the next one asks anew.
    """

    def __init__(self, fetch: Callable[[str], tuple[V, int]], capacity_bytes: int) -> None:
        self._fetch = fetch
        self._held: Lru[str, V] = Lru(capacity_bytes)
        self._under_way: dict[str, Future[V]] = {}
        self._lock = threading.Lock()

    @property
    def size(self) -> float:
        """Bytes held."""
        return self._held.size

    def get(self, digest: str) -> tuple[V, bool]:
        """The value, and whether it cost no fetch of this caller. Raises what `fetch` raises."""
        with self._lock:
            value = self._held.get(digest)
            if value is not None:
                return value, True
            coming = self._under_way.get(digest)
            mine = coming is None
            if coming is None:
                coming = self._under_way[digest] = Future()
        if not mine:
            return coming.result(), True
        try:
            value, size = self._fetch(digest)
        except BaseException as error:
            with self._lock:
                del self._under_way[digest]
            coming.set_exception(error)
            raise
        with self._lock:
            del self._under_way[digest]
            self._held.add(digest, value, size)
        coming.set_result(value)
        return value, False

    def digests(self) -> list[str]:
        """The digests of what is held now."""
        with self._lock:
            return list(self._held)

    def drop(self, digest: str) -> None:
        """Forget a value, so that the next one who asks fetches it."""
        with self._lock:
            self._held.drop(digest)

    def pin(self, owner: str, digests: Iterable[str]) -> None:
        """What `owner` uses now stays until it uses something else."""
        with self._lock:
            self._held.pin(owner, digests)
