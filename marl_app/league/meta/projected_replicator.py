"""Projected replicator dynamics, averaged over time.

Lanctot et al. (2017), "A unified game-theoretic approach to multiagent reinforcement learning": the share of a strategy
grows in proportion to itself and to its payoff above the average (Taylor and Jonker, 1978), in steps of `dt`, and no
share falls below `gamma`, so that every strategy can return. The result is the average of the trajectory; in a zero-sum
game it approaches a Nash equilibrium, as 1 / (dt * iterations). With the usual dt=1e-3 and 50,000 iterations it is far
from convergence: a Nash equilibrium smoothed towards the uniform strategy, which is often desired.

As in the paper a population per side evolves, each against the others. In a symmetric game all populations start equal
and remain equal, so one is computed. With more than two sides the limit of the average is unknown.
"""

from __future__ import annotations

import numpy as np

from marl_app.league.meta.meta import advantages, expected_payoffs, side_advantages
from marl_app.league.payoff import Float64s


class ProjectedReplicator:
    """The average of `iterations` steps of length `dt` from uniform. 50,000 steps of 100 players take about 1 s."""

    def __init__(self, dt: float, gamma: float, iterations: int) -> None:
        if not 0 < dt <= 1 or iterations < 1:
            raise ValueError(f"dt must be in (0, 1] and iterations >= 1, not {dt} and {iterations}")
        if not 0 <= gamma < 1:
            raise ValueError(f"gamma must be in [0, 1), not {gamma}")
        self.dt = dt
        self.gamma = gamma
        self.iterations = iterations

    def solve(self, scores: Float64s) -> Float64s:
        """Return probabilities [n], summing to 1. Raises ValueError for `scores` that `advantages` refuses."""
        payoff = advantages(scores)
        # [n] the current shares of the strategies, and their sum over all steps
        shares, visited = np.full(len(payoff), 1 / len(payoff)), np.zeros(len(payoff))
        for _ in range(self.iterations):
            payoffs = expected_payoffs(payoff, shares)
            shares = self._step(shares, payoffs - shares @ payoffs)
            visited += shares
        average: Float64s = visited / visited.sum()
        return average

    def solve_side(self, scores: Float64s) -> Float64s:
        """Return probabilities [m], summing to 1. Raises ValueError for `scores` that `side_advantages` refuses."""
        payoff = side_advantages(scores)
        m, n = payoff.shape
        row, column, visited = np.full(m, 1 / m), np.full(n, 1 / n), np.zeros(m)
        for _ in range(self.iterations):
            # Payoffs [m] of the rows, and what the rows gain [n] on each column; both populations step together.
            row_payoffs, column_losses = payoff @ column, row @ payoff
            value = row @ row_payoffs
            row = self._step(row, row_payoffs - value)
            column = self._step(column, value - column_losses)
            visited += row
        average: Float64s = visited / visited.sum()
        return average

    def _step(self, shares: Float64s, gains: Float64s) -> Float64s:
        """Return the shares [n] of a population `dt` later; `gains` [n] are payoffs minus their average."""
        floor = min(self.gamma, 1 / len(shares))
        shares = shares + self.dt * shares * gains
        shares /= shares.sum()  # the sum is 1 up to rounding, which would accumulate where the game favors a side
        return project(shares, floor) if shares.min() < floor else shares


def project(point: Float64s, floor: float = 0.0) -> Float64s:
    """Return the nearest point to `point` [n] with parts >= `floor` that sum to 1; `floor` <= 1 / n.

    The algorithm of Duchi et al. (2008): above the floor, subtract the same excess from all parts and clip at 0.
    """
    n = len(point)
    mass = 1.0 - n * floor  # to distribute above the floor
    descending = np.sort(point - floor)[::-1]
    # excess[k]: what to subtract if exactly the k + 1 largest parts remain positive; the last consistent k is right.
    excess = (np.cumsum(descending) - mass) / np.arange(1, n + 1)
    last = int((descending > excess).nonzero()[0].max(initial=0))
    projected: Float64s = np.maximum(point - floor - excess[last], 0.0) + floor
    return projected
