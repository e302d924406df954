"""The mixture that evolves: projected replicator dynamics, averaged over time.

Lanctot et al. (2017), "A unified game-theoretic approach to multiagent reinforcement learning": who earns more than the
average grows in proportion to its share (Taylor and Jonker, 1978), in steps of `dt`, and no share falls below `gamma`,
so that nobody is lost for good. The average of the trajectory is the strategy; in a zero-sum game it approaches a Nash
equilibrium, as 1 / (dt * iterations). With the usual dt=1e-3 and 50,000 iterations it is far from one: it is a Nash
equilibrium smeared towards the uniform strategy, which is often wanted.

Where we differ: one player evolves against itself. The game is symmetric, so two that start alike would remain alike.
"""

from __future__ import annotations

import numpy as np

from marl_app.league.meta.meta import advantages
from marl_app.league.payoff import Floats


class ProjectedReplicator:
    """The average of `iterations` steps of length `dt` from uniform. 50,000 steps of 100 players take about 0.5 s."""

    def __init__(self, dt: float, gamma: float, iterations: int) -> None:
        if not 0 < dt <= 1 or iterations < 1:
            raise ValueError(f"dt must be in (0, 1] and iterations >= 1, not {dt} and {iterations}")
        if not 0 <= gamma < 1:
            raise ValueError(f"gamma must be in [0, 1), not {gamma}")
        self.dt = dt
        self.gamma = gamma
        self.iterations = iterations

    def solve(self, scores: Floats) -> Floats:
        """Probabilities [n], summing to 1. Raises ValueError unless `scores` are finite and [n, n] with n >= 1."""
        payoff = advantages(scores)
        n = len(payoff)
        floor = min(self.gamma, 1 / n)
        strategy, visited = np.full(n, 1 / n), np.zeros(n)
        for _ in range(self.iterations):
            # The average earns 0 in a symmetric game; so shares sum to 1 but for rounding.
            strategy = strategy + self.dt * strategy * (payoff @ strategy)
            if strategy.min() < floor:
                strategy = project(strategy, floor)
            visited += strategy
        average: Floats = visited / visited.sum()
        return average


def project(point: Floats, floor: float = 0.0) -> Floats:
    """The nearest point to `point` [n] whose parts are >= `floor` <= 1 / n and sum to 1 (Duchi et al., 2008)."""
    n = len(point)
    mass = 1.0 - n * floor
    descending = np.sort(point - floor)[::-1]
    excess = (np.cumsum(descending) - mass) / np.arange(1, n + 1)
    last = int((descending > excess).nonzero()[0].max(initial=0))
    projected: Floats = np.maximum(point - floor - excess[last], 0.0) + floor
    return projected
