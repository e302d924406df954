"""The protocol of meta-strategies: distributions over the pool, computed from its mean scores.

A meta-strategy is a mixed strategy of the empirical game whose actions are the snapshots of the pool (Lanctot et al.,
2017, "A unified game-theoretic approach to multiagent reinforcement learning"): a snapshot is drawn before a match, and
plays the whole match.

The scale of that game matters to iterative solvers (replicator dynamics, alpha-rank): here a payoff is the advantage, a
mean score minus 0.5, so it is in [-0.5, 0.5]; where payoffs have sizes, 0.5 stands for the largest possible payoff.
Papers with 1 for a win and -1 for a loss use twice that scale.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from marl_app.league.payoff import Float64s


class MetaStrategy(Protocol):
    """A rule that computes a mixture of the players of a constant-sum game.

    The game is symmetric, or has a population per side.
    """

    def solve(self, scores: Float64s) -> Float64s:
        """Return probabilities [n], summing to 1, of n >= 1 players with mean `scores` [n, n] of row against column.

        With more than two sides, `scores` has an axis per side, [n, ..., n]: the score of the first axis' player among
        the players of the other axes, whose order does not matter; all sides draw from the mixture. Raises ValueError
        if this rule supports two sides only.
        """
        ...

    def solve_side(self, scores: Float64s) -> Float64s:
        """Return probabilities [m], summing to 1, of the m >= 1 players of one side, against n >= 1 of the other side.

        `scores` [m, n] are means of row against column. The mixture of the other side is that of 1 - `scores`.T.
        """
        ...


def advantages(scores: ArrayLike) -> Float64s:
    """Return the payoff float64 [n, n] (or an axis per side) of the empirical game: mean `scores` minus 0.5.

    Estimated scores of two sides are not exact mirrors of each other, so the payoff is half the difference of the two
    directions, which is antisymmetric. Raises ValueError unless `scores` are finite and [n, n] with n >= 1, or
    [n, n, n] and so on.
    """
    means = np.asarray(scores, np.float64)
    if means.ndim < 2 or len(set(means.shape)) > 1 or not means.size:
        raise ValueError(f"scores must be [n, n] with n >= 1, or have more axes of n, not {list(means.shape)}")
    if not np.isfinite(means).all():
        raise ValueError("scores must be finite: some are NaN or infinite")
    # With two sides (M - M.T) / 2, in which the 0.5 cancels; with more, scores are means over all orders already.
    payoff: Float64s = (means - means.T) / 2 if means.ndim == 2 else means - 0.5
    return payoff


def expected_payoffs(payoff: Float64s, mixture: Float64s) -> Float64s:
    """Return each player's expected payoff [n] if all other sides of `payoff` [n, n, ...] draw from `mixture` [n]."""
    expected = payoff
    while expected.ndim > 1:
        expected = expected @ mixture  # averages over the last axis
    return expected


def side_advantages(scores: ArrayLike) -> Float64s:
    """Return the payoff float64 [m, n] of one side against the other: mean `scores` [m, n] minus 0.5.

    Raises ValueError unless they are finite and [m, n] with m, n >= 1.
    """
    means = np.asarray(scores, np.float64)
    if means.ndim != 2 or not means.size:
        raise ValueError(f"scores must be [m, n] with m, n >= 1, not {list(means.shape)}")
    if not np.isfinite(means).all():
        raise ValueError("scores must be finite: some are NaN or infinite")
    return means - 0.5
