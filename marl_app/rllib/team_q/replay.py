"""A replay buffer of segments of matches: uniform, bounded, in numpy, in the algorithm's process."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from marl_app.players.modules.actor_critic import LENGTHS
from marl_app.rllib.sampling.collector import Batches
from marl_app.rllib.team_q.collector import PER_SEGMENT, TEAM

Array = NDArray[Any]
Ints = NDArray[np.int64]


class Replay:
    """The newest rows, at most `capacity`, as a ring; the oldest segments leave when their place is needed.

    Columns are allocated whole with the first fragment: `nbytes` is the memory they fill in the end.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._next = 0
        self._rows: dict[tuple[str, str], Array] = {}
        self._starts: Ints = np.zeros(0, np.int64)
        self._segments: dict[tuple[str, str], Array] = {}

    @property
    def rows(self) -> int:
        """Rows that are there, closing ones included."""
        return int(self._lengths.sum())

    @property
    def mean_length(self) -> float:
        """Mean rows of a segment."""
        return self.rows / len(self._starts)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return sum(values.nbytes for values in (*self._rows.values(), *self._segments.values()))

    @property
    def _lengths(self) -> Ints:
        return self._segments.get((TEAM, LENGTHS), np.zeros(0, np.int64))

    def add(self, batches: Batches) -> None:
        """Take in a fragment. Raises ValueError for one that is larger than the buffer."""
        lengths = batches[TEAM][LENGTHS]
        size = int(lengths.sum())
        if size > self._capacity:
            raise ValueError(f"a fragment of {size} rows does not fit into a replay buffer of {self._capacity}")
        if self._next + size > self._capacity:  # no segment is torn in two; what is left of the ring's end lies idle
            self._forget(self._next, self._capacity)
            self._next = 0
        start, stop = self._next, self._next + size
        kept = self._forget(start, stop)
        for network, columns in batches.items():
            for name, values in columns.items():
                key = (network, name)
                if name in PER_SEGMENT:
                    before = self._segments.get(key)
                    self._segments[key] = values if before is None else np.concatenate([before, values])
                else:
                    if key not in self._rows:
                        self._rows[key] = np.empty((self._capacity, *values.shape[1:]), values.dtype)
                    self._rows[key][start:stop] = values
        self._starts = np.concatenate([kept, start + np.cumsum(lengths) - lengths])
        self._next = stop

    def _forget(self, start: int, stop: int) -> Ints:
        """Drop the segments that have rows in [start, stop); the starts of those that stay."""
        stay = (self._starts + self._lengths <= start) | (self._starts >= stop)
        self._segments = {key: values[stay] for key, values in self._segments.items()}
        self._starts = self._starts[stay]
        return self._starts

    def sample(self, segments: int, rng: np.random.Generator) -> Batches:
        """Segments drawn uniformly, with replacement: every step is as likely as any other."""
        chosen = rng.integers(len(self._starts), size=segments)
        lengths = self._lengths[chosen]
        within = np.arange(lengths.sum()) - (np.cumsum(lengths) - lengths).repeat(lengths)
        rows = self._starts[chosen].repeat(lengths) + within
        batches: Batches = {}
        for columns, places in ((self._rows, rows), (self._segments, chosen)):
            for (network, name), values in columns.items():
                batches.setdefault(network, {})[name] = values[places]
        return batches
