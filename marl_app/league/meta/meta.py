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
    """A rule that mixes the members of a constant-sum game: a symmetric one, or one with a population per side."""

    def solve(self, scores: Floats) -> Floats:
        """Probabilities [n], summing to 1, of n >= 1 players with mean `scores` [n, n] of row against column.

        With more than two sides there is an axis for each, [n, ..., n]: the scores of the first axis' player among
        those of the others, whose order does not matter; all sides draw from the mixture. Raises ValueError if this
        rule knows two sides only.
        """
        ...

    def solve_side(self, scores: Floats) -> Floats:
        """Probabilities [m], summing to 1, of the m >= 1 players of one side, against the other side's n >= 1.

        Mean `scores` [m, n] of row against column. The other side's mixture is that of 1 - `scores`.T.
        """
        ...


def advantages(scores: ArrayLike) -> Floats:
    """The payoff float64 [n, n] (or an axis per side) of the empirical game: mean `scores` of that shape minus 0.5.

    Estimated scores between two sides do not quite mirror each other, so half the difference of the two directions is
    taken, and the payoff is antisymmetric. Raises ValueError unless scores are finite and [n, n] with n >= 1, or
    [n, n, n] and so on.
    """
    means = np.asarray(scores, np.float64)
    if means.ndim < 2 or len(set(means.shape)) > 1 or not means.size:
        raise ValueError(f"scores must be [n, n] with n >= 1, or have more axes of n, not {list(means.shape)}")
    if not np.isfinite(means).all():
        raise ValueError("scores must be finite: some are NaN or infinite")
    payoff: Floats = (means - means.T) / 2 if means.ndim == 2 else means - 0.5
    return payoff


def expected_payoffs(payoff: Floats, mixture: Floats) -> Floats:
    """What each player [n] earns when all other sides of `payoff` [n, n] (or an axis per side) draw from `mixture`."""
    earned = payoff
    while earned.ndim > 1:
        earned = earned @ mixture
    return earned


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
