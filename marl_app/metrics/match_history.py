"""Opponents over time: matches of one learner by opponent and iteration, in memory that does not grow with time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


class MatchHistory:
    """Counts matches in at most `bins` bins of equal numbers of iterations, which become wider as the run goes on."""

    def __init__(self, bins: int = 64) -> None:
        self.last_iteration = 0
        self._bins = bins
        self._width = 1  # iterations per bin
        self._counts: dict[str, Counts] = {}  # [bins] by opponent, in the order in which they were met

    def add(self, iteration: int, opponents: Sequence[str], matches: Sequence[int] | Counts) -> None:
        """Add the matches [k] of one iteration, counted from 1, against opponents [k], which may occur repeatedly."""
        while iteration > self._width * self._bins:  # pairs of bins become one, and the second half is free
            self._counts = {
                opponent: np.concatenate([counts.reshape(-1, 2).sum(1), np.zeros(self._bins // 2, np.int64)])
                for opponent, counts in self._counts.items()
            }
            self._width *= 2
        self.last_iteration = max(self.last_iteration, iteration)
        for opponent, number in zip(opponents, matches, strict=True):
            counts = self._counts.setdefault(opponent, np.zeros(self._bins, np.int64))
            # Iterations are counted from 1, bins from 0.
            counts[(iteration - 1) // self._width] += number

    def table(self, opponents: Sequence[str]) -> tuple[Counts, int]:
        """Return the matches against these opponents, [n, bins so far], and the last iteration of the last bin."""
        # Rounded up: the last bin may not be full.
        bins = -(-self.last_iteration // self._width)
        empty = np.zeros(self._bins, np.int64)
        rows = [self._counts.get(opponent, empty)[:bins] for opponent in opponents]
        return np.stack(rows) if rows else np.zeros((0, bins), np.int64), bins * self._width

    @property
    def opponents(self) -> list[str]:
        """The opponents so far, in the order in which they were met."""
        return list(self._counts)
