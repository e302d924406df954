"""The maximal lottery of a payoff: weights of the players that copies of a player do not change.

A maximal lottery (Kreweras, 1965; Fishburn, 1984, "Probabilistic social choice based on simple voting comparisons") is
an equilibrium of the symmetric zero-sum game whose payoffs are the margins of all pairs, here mean scores minus 0.5. A
player that is beaten by a mixture of others gets no weight, and copies of a player share its weight (Brandl, Brandt and
Seedig, 2016, "Consistent probabilistic social choice": composition consistency). Balduzzi et al. (2018, "Re-evaluating
evaluation") rank agents by their mean score against such a mixture, and call it Nash averaging.

A payoff may have many equilibria. Balduzzi et al. take the one with the largest entropy; but a copy raises the entropy
of its player's weight, so this choice may change with copies. Here copies are merged first, and of the equilibria
between the merged players the one with the smallest Euclidean norm is taken: it is unique, because the norm is strictly
convex, so it depends neither on copies nor on the order of players. Only players with equal scores are copies: two
estimates of one player that differ by chance are two players, which share a weight in some other way.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from marl_app.league.meta.meta import advantages, side_advantages
from marl_app.league.meta.nash import maximin, maximin_of_copies
from marl_app.league.payoff import Float64s

SLACK = 1e-9  # by how much a score against an equilibrium may be below the value of the game: rounding
SMALLEST = 1e-5  # smaller weights are rounding too, and become 0


class MaximalLottery:
    """A `MetaStrategy`: the equilibrium of the payoff in which copies share a weight, and with the smallest norm."""

    def solve(self, scores: Float64s) -> Float64s:
        """Return weights [n], summing to 1. Raises ValueError unless `scores` are finite and [n, n], n >= 1."""
        if np.ndim(scores) > 2:
            raise ValueError("the maximal lottery is for two sides")
        return maximin_of_copies(advantages(scores), smallest_maximin)

    def solve_side(self, scores: Float64s) -> Float64s:
        """Return weights [m], summing to 1. Raises ValueError for `scores` that `side_advantages` refuses."""
        return maximin_of_copies(side_advantages(scores), smallest_maximin)


def smallest_maximin(payoff: Float64s) -> Float64s:
    """Return the maximin mixture p [n] of the rows of `payoff` [n, m] that has the smallest Euclidean norm.

    With payoffs minus the value of the game, p is the shortest vector with p @ payoff >= 0, p >= 0 and sum(p) >= 1: one
    with a larger sum could be scaled down. Lawson and Hanson (1974, "Solving least squares problems", chapter 23) find
    the shortest x with G x >= h by non-negative least squares: if u >= 0 minimizes |[G.T; h] u - (0, ..., 0, 1)| and r
    is the rest, then x = -r[:-1] / r[-1].
    """
    any_equilibrium = maximin(payoff)
    value = (any_equilibrium @ payoff).min()
    rows, columns = payoff.shape
    # Constraints G x >= h: [columns] scores, [rows] non-negative weights, and the sum.
    left = np.vstack([(payoff - value).T, np.eye(rows), np.ones((1, rows))])
    right = np.concatenate([np.full(columns, -SLACK), np.zeros(rows), [1.0]])
    target = np.append(np.zeros(rows), 1.0)
    stacked = np.vstack([left.T, right])
    multipliers, _ = nnls(stacked, target, maxiter=30 * (rows + columns))
    rest = stacked @ multipliers - target
    mixture = -rest[:-1] / rest[-1]
    mixture[mixture < SMALLEST * mixture.max()] = 0.0
    smallest: Float64s = mixture / mixture.sum()
    return smallest
