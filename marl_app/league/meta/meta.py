"""What a meta-strategy is: a distribution over the pool, made from the mean scores in it.

A pool is played as a mixed strategy of the empirical game whose actions are its snapshots (Lanctot et al., 2017, "A
unified game-theoretic approach to multiagent reinforcement learning"): before a match one snapshot is drawn, and it
plays the whole match.

The scale of that game matters to the solvers that take steps (replicator dynamics, alpha-rank): here a payoff is the
advantage, a mean score minus 0.5, so it lies in [-0.5, 0.5]; where payoffs have sizes, 0.5 stands for the largest there
is. Papers whose wins are 1 and losses -1 have twice that.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from marl_app.league.payoff import Floats


class MetaStrategy(Protocol):
    """A rule that mixes the members of a zero-sum game: of a symmetric one, or of one with a population per side."""

    def solve(self, scores: Floats) -> Floats:
        """Probabilities [n], summing to 1, of n >= 1 players with mean `scores` [n, n] of row against column."""
        ...

    def solve_side(self, scores: Floats) -> Floats:
        """Probabilities [m], summing to 1, of the m >= 1 players of one side, against the other side's n >= 1.

        Mean `scores` [m, n] of row against column. The other side's mixture is that of 1 - `scores`.T.
        """
        ...


def advantages(scores: ArrayLike) -> Floats:
    """The antisymmetric payoff float64 [n, n] of the empirical game: mean `scores` [n, n] minus 0.5.

    Estimated scores do not quite mirror each other, so half the difference of the two directions is taken. Raises
    ValueError unless they are finite and [n, n] with n >= 1.
    """
    means = np.asarray(scores, np.float64)
    if means.ndim != 2 or means.shape != means.T.shape or not means.size:
        raise ValueError(f"scores must be [n, n] with n >= 1, not {list(means.shape)}")
    if not np.isfinite(means).all():
        raise ValueError("scores must be finite: some are NaN or infinite")
    antisymmetric: Floats = (means - means.T) / 2
    return antisymmetric


def side_advantages(scores: ArrayLike) -> Floats:
    """The payoff float64 [m, n] of one side against the other: mean `scores` [m, n] minus 0.5.

    Raises ValueError unless they are finite and [m, n] with m, n >= 1.
    """
    means = np.asarray(scores, np.float64)
    if means.ndim != 2 or not means.size:
        raise ValueError(f"scores must be [m, n] with m, n >= 1, not {list(means.shape)}")
    if not np.isfinite(means).all():
        raise ValueError("scores must be finite: some are NaN or infinite")
    return means - 0.5
