"""A replay buffer of segments of matches: uniform sampling, bounded, numpy arrays in the algorithm's process."""

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
    """The newest rows, at most `capacity`, as a ring buffer; the oldest segments are dropped to make room.

    Columns are allocated whole with the first fragment: `nbytes` is the memory of a full buffer.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._next = 0  # row at which the next fragment begins
        # (network, column) -> [capacity, ...], and [segments, ...] for columns with one row per segment.
        self._rows: dict[tuple[str, str], Array] = {}
        self._segments: dict[tuple[str, str], Array] = {}
        self._starts: Ints = np.zeros(0, np.int64)  # [segments]: first row of each

    @property
    def rows(self) -> int:
        """Number of rows in the buffer, closing rows included."""
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

    def add_fragment(self, batches: Batches) -> None:
        """Add the segments of a fragment. Raises ValueError if it is larger than the buffer."""
        lengths = batches[TEAM][LENGTHS]
        size = int(lengths.sum())
        if size > self._capacity:
            raise ValueError(f"a fragment of {size} rows does not fit into a replay buffer of {self._capacity}")
        if self._next + size > self._capacity:  # a segment is never split: the rest of the ring stays unused
            self._drop_segments(self._next, self._capacity)
            self._next = 0
        # The rows [start, stop) are overwritten, so the segments in them are dropped first.
        start, stop = self._next, self._next + size
        kept = self._drop_segments(start, stop)
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
        # In the order in which the columns with one row per segment were extended.
        self._starts = np.concatenate([kept, start + np.cumsum(lengths) - lengths])
        self._next = stop

    def _drop_segments(self, start: int, stop: int) -> Ints:
        """Drop the segments that have rows in [start, stop). Return the starts of the others."""
        # [segments] bool: segments that end before the range, or begin after it.
        stay = (self._starts + self._lengths <= start) | (self._starts >= stop)
        self._segments = {key: values[stay] for key, values in self._segments.items()}
        self._starts = self._starts[stay]
        return self._starts

    def sample(self, segments: int, rng: np.random.Generator) -> Batches:
        """Return `segments` segments, drawn uniformly with replacement, as columns."""
        chosen = rng.integers(len(self._starts), size=segments)
        lengths = self._lengths[chosen]
        # [rows]: position of each row in its segment, then its index in the buffer.
        positions = np.arange(lengths.sum()) - (np.cumsum(lengths) - lengths).repeat(lengths)
        rows = self._starts[chosen].repeat(lengths) + positions
        batches: Batches = {}
        for columns, places in ((self._rows, rows), (self._segments, chosen)):
            for (network, name), values in columns.items():
                batches.setdefault(network, {})[name] = values[places]
        return batches
