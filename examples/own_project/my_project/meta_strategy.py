"""A meta-strategy: better snapshots are more likely, by a softmax of their mean scores."""

from __future__ import annotations

import numpy as np

from marl_app.league.payoff import Float64s


class Softmax:
    """Probabilities proportional to exp(mean score / temperature)."""

    def __init__(self, temperature: float) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, not {temperature}")
        self.temperature = temperature

    def solve(self, scores: Float64s) -> Float64s:
        means = scores.reshape(len(scores), -1).mean(axis=1)
        weights = np.exp((means - means.max()) / self.temperature)
        return weights / weights.sum()

    solve_side = solve
