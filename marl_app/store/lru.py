"""Least-recently-used (LRU) eviction, for the real caches and for planned and simulated ones.

All of them share this class, so that a plan describes the caches that a run uses.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """Values whose sizes add up to at most `capacity` (bytes, or any unit; None = unlimited).

    Pinned entries are not evicted; if they do not fit, `size` exceeds the capacity. Not thread-safe.
    """

    def __init__(self, capacity: float | None) -> None:
        self.capacity = capacity
        self.size = 0.0
        self._entries: OrderedDict[K, tuple[V, float]] = OrderedDict()  # (value, size), least recently used first
        self._pins: dict[str, frozenset[K]] = {}  # owner -> its pinned keys
        self._pin_counts: Counter[K] = Counter()  # key -> number of owners that pin it

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries)

    def get(self, key: K) -> V | None:
        """Return the value and mark it as most recently used; None if the key is absent."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def add(self, key: K, value: V, size: float = 1.0) -> None:
        """Insert a value as most recently used. A value larger than the capacity is not inserted."""
        self.drop(key)
        if self.capacity is not None and size > self.capacity:
            return
        self._entries[key] = value, size
        self.size += size
        self._evict()

    def fill(self, keys: Iterable[K], value: V) -> None:
        """Insert keys of size 1 in this order, all with the same value."""
        # All at once: adding one by one would evict and count after each.
        self._entries.update(dict.fromkeys(keys, (value, 1.0)))
        self.size = sum(size for _, size in self._entries.values())
        self._evict()

    def request(self, key: K, value: V, size: float = 1.0) -> bool:
        """Return whether the key is a hit; insert it after a miss. It becomes the most recently used."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return True
        self.add(key, value, size)
        return False

    def drop(self, key: K) -> None:
        """Remove an entry, pinned or not; does nothing if the key is absent."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry[1]

    def pin(self, owner: str, keys: Iterable[K]) -> None:
        """Replace the keys that `owner` pins. Keys may be pinned before they are inserted."""
        self._pin_counts.subtract(self._pins.pop(owner, frozenset()))
        # Unary plus removes the keys whose count has become zero.
        self._pin_counts = +self._pin_counts
        if pinned := frozenset(keys):
            self._pins[owner] = pinned
            self._pin_counts.update(pinned)
        self._evict()

    def _evict(self) -> None:
        while self.capacity is not None and self.size > self.capacity:
            # The first entry is the least recently used.
            oldest: K | None = next(iter(self._entries), None)
            if self._pin_counts:
                # The newest entry was just requested: keep it, even if all others are pinned.
                newest = next(reversed(self._entries), None)
                evictable = (key for key in self._entries if key not in self._pin_counts and key != newest)
                oldest = next(evictable, None)
            if oldest is None:
                return
            self.drop(oldest)
