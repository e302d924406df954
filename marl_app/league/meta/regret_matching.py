"""The average strategy of regret matching.

Hart and Mas-Colell (2000), "A simple adaptive procedure leading to correlated equilibrium": each step plays every
action with a probability proportional to its positive regret, the total that it would have earned more so far. In a
zero-sum game the average of all steps approaches a Nash equilibrium, with an error of about 1 / sqrt(iterations). With
more than two sides no such guarantee is known: the joint play approaches a coarse correlated equilibrium, and this is
the marginal of one side; its distance from an equilibrium depends on the game.

Where we differ: each step uses the expected payoffs of all actions, so the result is deterministic. In a symmetric game
all sides start equal and remain equal, so one strategy is computed against itself.
"""

from __future__ import annotations

import numpy as np

from marl_app.league.meta.meta import advantages, expected_payoffs, side_advantages
from marl_app.league.payoff import Float64s


class RegretMatching:
    """The average strategy of `iterations` steps. 20,000 steps of 100 players take about 0.2 s."""

    def __init__(self, iterations: int) -> None:
        if iterations < 1:
            raise ValueError(f"iterations must be >= 1, not {iterations}")
        self.iterations = iterations

    def solve(self, scores: Float64s) -> Float64s:
        """Return probabilities [n], summing to 1. Raises ValueError for `scores` that `advantages` refuses."""
        payoff = advantages(scores)
        # [n] cumulative regrets, and the sum of the strategies of all steps
        regrets, played = np.zeros(len(payoff)), np.zeros(len(payoff))
        for _ in range(self.iterations):
            strategy = _matched(regrets)
            played += strategy
            payoffs = expected_payoffs(payoff, strategy)
            regrets += payoffs - strategy @ payoffs
        average: Float64s = played / played.sum()
        return average

    def solve_side(self, scores: Float64s) -> Float64s:
        """Return probabilities [m], summing to 1. Raises ValueError for `scores` that `side_advantages` refuses."""
        payoff = side_advantages(scores)
        row_regrets, column_regrets, played = np.zeros(len(payoff)), np.zeros(payoff.shape[1]), np.zeros(len(payoff))
        for _ in range(self.iterations):
            # Both sides play their current strategies; the column player earns the negative payoff.
            row, column = _matched(row_regrets), _matched(column_regrets)
            played += row
            row_payoffs = payoff @ column
            value = row @ row_payoffs
            row_regrets += row_payoffs - value
            column_regrets += value - row @ payoff
        average: Float64s = played / played.sum()
        return average


def _matched(regrets: Float64s) -> Float64s:
    """Return the strategy [n] in proportion to the positive regrets [n]; uniform if none is positive."""
    positive = np.maximum(regrets, 0.0)
    total = positive.sum()
    matched: Float64s = positive / total if total > 0 else np.full(len(regrets), 1 / len(regrets))
    return matched
