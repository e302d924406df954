"""Results of matches, as arrays, as env runners return them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Float64s = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Results of one learner's matches, one row per (opponent, rule, side) that occurred, never one per match.

    `opponents` and `rules` are those of the `Assignment` that was played; the opponent of self-play is the learner.
    The arrays are int64 [k]: `sides`, the side that the learner played; `wins`, `draws`, `losses`, from the side of the
    learner (for self-play: of that side); `steps`, env steps of these matches together. `scores`, float64 [k], sums the
    learner's scores, each in [0, 1]: wins plus half the draws, unless payoffs have sizes.

    `opposing_sides` is the mean number of sides that the learner meets in a match. A match has one result for each;
    with more than one, it is a win if the learner was placed higher. Each result has the steps of the whole match.

    Raises ValueError for columns of different lengths and for negative numbers.
    """

    learner: str
    opponents: tuple[str, ...]
    rules: tuple[str, ...]
    sides: Ints
    wins: Ints
    draws: Ints
    losses: Ints
    steps: Ints
    scores: Float64s
    opposing_sides: float = 1.0

    def __post_init__(self) -> None:
        arrays = (self.sides, self.wins, self.draws, self.losses, self.steps, self.scores)
        # One distinct length if all columns agree.
        rows = {len(self.opponents), len(self.rules), *(len(array) for array in arrays)}
        if len(rows) > 1:
            raise ValueError(
                f"outcomes of {self.learner} have columns of different lengths {sorted(rows)}: expected one row each"
            )
        if any((array < 0).any() for array in arrays):
            raise ValueError(f"outcomes of {self.learner} have negative numbers: expected counts and scores >= 0")

    @property
    def matches(self) -> int:
        """The number of matches in all rows."""
        # A whole number, but for the rounding error of the mean number of opposing sides.
        return round(self.results / self.opposing_sides)

    @property
    def results(self) -> int:
        """The number of results in all rows: of each match one per opposing side."""
        return int(self.wins.sum() + self.draws.sum() + self.losses.sum())
