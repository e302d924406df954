"""What is played next is fetched while the present matches are played."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue

from marl_app.store.codec import Buffer
from marl_app.store.reader import Reader
from marl_app.store.traffic import Traffic


class PrefetchingReader:
    """A reader that may be told what it will be asked for. It has a thread of its own, on which `reader` is used.

    What was fetched is held until it is asked for, once, or until it is no longer among what is announced: never more
    than was announced last. Failures are held alike, and raised to who asks.
    """

    def __init__(self, reader: Reader) -> None:
        self.rack = reader.rack
        self._reader = reader
        self._thread = ThreadPoolExecutor(1, "prefetch")
        self._coming: dict[str, Future[Buffer]] = {}
        self._moved: SimpleQueue[Traffic] = SimpleQueue()
        self._traffic = Traffic()

    @property
    def traffic(self) -> Traffic:
        """With what is being fetched only when it is there."""
        while True:
            try:
                self._traffic.accumulate(self._moved.get_nowait())
            except Empty:
                return self._traffic

    def prefetch(self, digests: Iterable[str], in_use: Iterable[str]) -> None:
        """These are asked for next: fetch those that are not there yet, and let go of all others."""
        wanted, held = list(dict.fromkeys(digests)), list(in_use)
        for digest in [digest for digest in self._coming if digest not in wanted]:
            self._coming.pop(digest).cancel()
        for digest in wanted:
            if digest not in self._coming:
                self._coming[digest] = self._thread.submit(self._fetch, digest, held)

    def get(self, digest: str, in_use: Iterable[str] = ()) -> Buffer:
        """As `reader.get`; at once if it was announced long enough ago."""
        coming = self._coming.pop(digest, None)
        if coming is None:
            coming = self._thread.submit(self._fetch, digest, list(in_use))
        return coming.result()

    def _fetch(self, digest: str, in_use: list[str]) -> Buffer:
        try:
            return self._reader.get(digest, in_use)
        finally:
            self._moved.put(self._reader.traffic.pop_totals())
