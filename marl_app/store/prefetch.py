"""Fetching the next opponents while the current matches are played."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue

from marl_app.store.codec import Buffer
from marl_app.store.reader import Reader
from marl_app.store.traffic import Traffic


class PrefetchingReader:
    """A reader with a background thread that fetches announced snapshots early.

    A prefetched snapshot is held until `get` returns it (once) or until a later `prefetch` no longer lists it, so at
    most the snapshots of the last `prefetch` are held. Failures are held likewise, and raised by `get`.
    """

    def __init__(self, reader: Reader) -> None:
        self.rack = reader.rack
        self._reader = reader
        # Readers are for one thread: all fetches, prefetched or not, run on this one.
        self._thread = ThreadPoolExecutor(1, "prefetch")
        self._pending: dict[str, Future[Buffer]] = {}  # digest -> its fetch, finished or not
        # Traffic of finished fetches, passed from the background thread to the caller's thread.
        self._finished: SimpleQueue[Traffic] = SimpleQueue()
        self._traffic = Traffic()

    @property
    def traffic(self) -> Traffic:
        """The traffic of all finished fetches; those in progress are counted when they finish."""
        while True:
            try:
                self._traffic.accumulate(self._finished.get_nowait())
            except Empty:
                return self._traffic

    def prefetch(self, digests: Iterable[str], in_use: Iterable[str]) -> None:
        """Start fetching the snapshots that `get` will need next, and release all others."""
        wanted, held = list(dict.fromkeys(digests)), list(in_use)
        for digest in [digest for digest in self._pending if digest not in wanted]:
            # A fetch that is already running cannot be cancelled; its result is dropped.
            self._pending.pop(digest).cancel()
        for digest in wanted:
            if digest not in self._pending:
                self._pending[digest] = self._thread.submit(self._fetch, digest, held)

    def get(self, digest: str, in_use: Iterable[str] = ()) -> Buffer:
        """Return the bytes as `reader.get` does; immediately if the prefetch has finished."""
        fetch = self._pending.pop(digest, None)
        if fetch is None:
            fetch = self._thread.submit(self._fetch, digest, list(in_use))
        return fetch.result()

    def _fetch(self, digest: str, in_use: list[str]) -> Buffer:
        try:
            return self._reader.get(digest, in_use)
        finally:
            self._finished.put(self._reader.traffic.pop_totals())
