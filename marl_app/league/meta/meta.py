"""What a meta-strategy is: a distribution over the pool, made from the win rates in it.

A pool is played as a mixed strategy of the empirical game whose actions are its snapshots (Lanctot et al., 2017, "A
unified game-theoretic approach to multiagent reinforcement learning"): before a match one snapshot is drawn, and it
plays the whole match.

The scale of that game matters to the solvers that take steps (replicator dynamics, alpha-rank): here a payoff is the
advantage, a win rate minus 0.5, so it lies in [-0.5, 0.5]. Papers whose wins are 1 and losses -1 have twice that.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from marl_app.league.payoff import Floats


class MetaStrategy(Protocol):
    """A rule that mixes the members of a symmetric zero-sum game."""

    def solve(self, win_rates: Floats) -> Floats:
        """Probabilities [n], summing to 1, of n >= 1 players with `win_rates` [n, n] of row against column."""
        ...


def advantages(win_rates: ArrayLike) -> Floats:
    """The antisymmetric payoff float64 [n, n] of the empirical game: win rates [n, n] minus 0.5.

    Estimated win rates do not quite mirror each other, so half the difference of the two directions is taken. Raises
    ValueError unless they are finite and [n, n] with n >= 1.
    """
    rates = np.asarray(win_rates, np.float64)
    if rates.ndim != 2 or rates.shape != rates.T.shape or not rates.size:
        raise ValueError(f"win rates must be [n, n] with n >= 1, not {list(rates.shape)}")
    if not np.isfinite(rates).all():
        raise ValueError("win rates must be finite: some are NaN or infinite")
    antisymmetric: Floats = (rates - rates.T) / 2
    return antisymmetric
