"""The mixture that evolves: projected replicator dynamics, averaged over time.

Lanctot et al. (2017), "A unified game-theoretic approach to multiagent reinforcement learning": who earns more than the
average grows in proportion to its share (Taylor and Jonker, 1978), in steps of `dt`, and no share falls below `gamma`,
so that nobody is lost for good. The average of the trajectory is the strategy; in a zero-sum game it approaches a Nash
equilibrium, as 1 / (dt * iterations). With the usual dt=1e-3 and 50,000 iterations it is far from one: it is a Nash
equilibrium smeared towards the uniform strategy, which is often wanted.

As in the paper a population per side evolves, in the company of the others. In a symmetric game they start alike and
remain alike, so one is enough. With more than two sides nothing is known of where the average goes.
"""

from __future__ import annotations

import numpy as np

from marl_app.league.meta.meta import advantages, expected_payoffs, side_advantages
from marl_app.league.payoff import Floats


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

    def solve(self, scores: Floats) -> Floats:
        """Probabilities [n], summing to 1. Raises ValueError unless `scores` are as in `advantages`."""
        payoff = advantages(scores)
        shares, visited = np.full(len(payoff), 1 / len(payoff)), np.zeros(len(payoff))
        for _ in range(self.iterations):
            earned = expected_payoffs(payoff, shares)
            shares = self._step(shares, earned - shares @ earned)
            visited += shares
        average: Floats = visited / visited.sum()
        return average

    def solve_side(self, scores: Floats) -> Floats:
        """Probabilities [m], summing to 1. Raises ValueError unless `scores` are finite and [m, n] with m, n >= 1."""
        payoff = side_advantages(scores)
        m, n = payoff.shape
        row, column, visited = np.full(m, 1 / m), np.full(n, 1 / n), np.zeros(m)
        for _ in range(self.iterations):
            earned, lost = payoff @ column, row @ payoff
            value = row @ earned
            row = self._step(row, earned - value)
            column = self._step(column, value - lost)
            visited += row
        average: Floats = visited / visited.sum()
        return average

    def _step(self, shares: Floats, gains: Floats) -> Floats:
        """The shares [n] of a population whose members earn so much more than its average, `dt` later."""
        floor = min(self.gamma, 1 / len(shares))
        shares = shares + self.dt * shares * gains
        shares /= shares.sum()  # 1 but for rounding, which would grow where the game favors a side
        return project(shares, floor) if shares.min() < floor else shares


def project(point: Floats, floor: float = 0.0) -> Floats:
    """The nearest point to `point` [n] whose parts are >= `floor` <= 1 / n and sum to 1 (Duchi et al., 2008)."""
    n = len(point)
    mass = 1.0 - n * floor
    descending = np.sort(point - floor)[::-1]
    excess = (np.cumsum(descending) - mass) / np.arange(1, n + 1)
    last = int((descending > excess).nonzero()[0].max(initial=0))
    projected: Floats = np.maximum(point - floor - excess[last], 0.0) + floor
    return projected
