"""What env runners answer: who won, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Results of one learner's matches, one row per (opponent, rule, side) that occurred, never one per match.

    `opponents` and `rules` are those of the `Assignment` that was played; the opponent of self-play is the learner.
    All arrays are int64 [k]: `sides`, the side that the learner played; `wins`, `draws`, `losses`, as the learner saw
    them (for self-play: as that side saw them); `steps`, env steps of these matches together. `scores`, float64 [k], is
    the sum of the learner's scores in them, each in [0, 1]: wins plus half the draws, unless payoffs have sizes.

    A match has one result for each of the `others`, the sides that the learner met there: with more than one, who of
    the two was placed higher; each of these results has the steps of the whole match.

    Raises ValueError for rows of different number and for negative numbers.
    """

    learner: str
    opponents: tuple[str, ...]
    rules: tuple[str, ...]
    sides: Ints
    wins: Ints
    draws: Ints
    losses: Ints
    steps: Ints
    scores: Floats
    others: int = 1

    def __post_init__(self) -> None:
        arrays = (self.sides, self.wins, self.draws, self.losses, self.steps, self.scores)
        rows = {len(self.opponents), len(self.rules), *(len(array) for array in arrays)}
        if len(rows) > 1:
            raise ValueError(f"outcomes of {self.learner} have columns of different lengths: {sorted(rows)}")
        if any((array < 0).any() for array in arrays):
            raise ValueError(f"outcomes of {self.learner} have negative numbers")

    @property
    def matches(self) -> int:
        """Number of matches in all rows."""
        return int(self.wins.sum() + self.draws.sum() + self.losses.sum()) // self.others
