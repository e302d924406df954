"""The least recently used leave: what the real caches hold, and what planned and simulated ones would hold.

One class for all of them, so that a plan speaks of the caches that run.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """Values whose sizes add up to at most `capacity` (bytes, or any unit; None = no limit).

    An entry that is pinned does not leave; if that makes the pinned ones more than fits, `size` is above the capacity.
    Not for several threads at once.
    """

    def __init__(self, capacity: float | None) -> None:
        self.capacity = capacity
        self.size = 0.0
        self._held: OrderedDict[K, tuple[V, float]] = OrderedDict()
        self._pins: dict[str, frozenset[K]] = {}
        self._pinned: Counter[K] = Counter()

    def __contains__(self, key: K) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[K]:
        return iter(self._held)

    def get(self, key: K) -> V | None:
        """The value, which is now the most recently used; None if it is not there."""
        entry = self._held.get(key)
        if entry is None:
            return None
        self._held.move_to_end(key)
        return entry[0]

    def add(self, key: K, value: V, size: float = 1.0) -> None:
        """Hold a value as the most recently used. One that is larger than the capacity is not held."""
        self.drop(key)
        if self.capacity is not None and size > self.capacity:
            return
        self._held[key] = value, size
        self.size += size
        self._evict()

    def fill(self, keys: Iterable[K], value: V) -> None:
        """Hold these of size 1, one after the other, each with the same value."""
        self._held.update(dict.fromkeys(keys, (value, 1.0)))
        self.size = sum(size for _, size in self._held.values())
        self._evict()

    def request(self, key: K, value: V, size: float = 1.0) -> bool:
        """Whether the key was there; it is afterwards, as the most recently used."""
        if key in self._held:
            self._held.move_to_end(key)
            return True
        self.add(key, value, size)
        return False

    def drop(self, key: K) -> None:
        """Forget an entry, pinned or not, if it is there."""
        entry = self._held.pop(key, None)
        if entry is not None:
            self.size -= entry[1]

    def pin(self, owner: str, keys: Iterable[K]) -> None:
        """Pin these for `owner`, in the place of those that it pinned before; they may come later than their pin."""
        self._pinned.subtract(self._pins.pop(owner, frozenset()))
        self._pinned = +self._pinned
        if pinned := frozenset(keys):
            self._pins[owner] = pinned
            self._pinned.update(pinned)
        self._evict()

    def _evict(self) -> None:
        while self.capacity is not None and self.size > self.capacity:
            oldest: K | None = next(iter(self._held), None)
            if self._pinned:
                newest = next(reversed(self._held), None)
                free = (key for key in self._held if key not in self._pinned and key != newest)
                oldest = next(free, None)
            if oldest is None:
                return
            self.drop(oldest)
