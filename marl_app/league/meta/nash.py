"""The mixture that no member of the pool beats: a Nash equilibrium of the empirical game, by linear programming.

In a zero-sum game it is the maximin strategy (von Neumann, 1928): maximize v such that the mixture wins at least v
against every player. Equilibria need not be unique; the choice depends only on the scores. With more than two sides,
linear programming does not find equilibria, and this rule raises ValueError.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import linprog

from marl_app.league.meta.meta import advantages, side_advantages
from marl_app.league.payoff import Float64s

COPY_DECIMALS = 6  # players are copies if their records agree to as many decimals


class Nash:
    """A maximin mixture of the pool.

    Copies (players with equal records) are solved as one player and share its probability equally, which keeps the
    linear program small and the result independent of the order of players.
    """

    def solve(self, scores: Float64s) -> Float64s:
        """Return probabilities [n], summing to 1. Raises ValueError unless `scores` are finite and [n, n], n >= 1."""
        if np.ndim(scores) > 2:
            raise ValueError("nash is for two sides: with more use regret_matching, projected_replicator or alpha_rank")
        return maximin_of_copies(advantages(scores), maximin)

    def solve_side(self, scores: Float64s) -> Float64s:
        """Return probabilities [m], summing to 1. Raises ValueError for `scores` that `side_advantages` refuses."""
        return maximin_of_copies(side_advantages(scores), maximin)


def maximin_of_copies(payoff: Float64s, solve: Callable[[Float64s], Float64s]) -> Float64s:
    """Return a maximin mixture [n] of `payoff` [n, m], with equal probabilities of equal rows.

    solve: as `maximin`; it is called with the payoff between different players only.
    """
    # `kept` [k] are the first of each group of equal rows, `copy_of` [n] the group of each row, `copies` [k] its size.
    _, kept, copy_of, copies = np.unique(
        payoff.round(COPY_DECIMALS), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    # Equal columns are the same constraint: one of them is enough.
    _, columns = np.unique(payoff.round(COPY_DECIMALS), axis=1, return_index=True)
    mixture = solve(payoff[np.ix_(kept, np.sort(columns))])
    shared: Float64s = (mixture / copies)[copy_of]
    return shared


def maximin(payoff: Float64s) -> Float64s:
    """Return the mixture p float64 [n] of the rows of `payoff` [n, m] with the largest v such that p @ payoff >= v.

    For a zero-sum game between two populations: `maximin(payoff)` for the rows, `maximin(-payoff.T)` for the columns.
    """
    rows, columns = payoff.shape
    # Variables: p [n] and v. Minimize -v such that v - p @ payoff <= 0 for each column and sum(p) = 1.
    result = linprog(
        c=np.append(np.zeros(rows), -1.0),
        A_ub=np.column_stack([-payoff.T, np.ones(columns)]),
        b_ub=np.zeros(columns),
        A_eq=np.append(np.ones(rows), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * rows + [(None, None)],
        method="highs",
    )
    if not result.success:
        raise ValueError(f"no Nash equilibrium found: {result.message}")
    mixture = np.maximum(result.x[:rows], 0.0)
    normalized: Float64s = mixture / mixture.sum()
    return normalized
