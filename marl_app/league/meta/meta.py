"""What a meta-strategy is: a distribution over the pool, made from the win rates in it.

A pool is played as a mixed strategy of the empirical game whose actions are its snapshots (Lanctot et al., 2017, "A
unified game-theoretic approach to multiagent reinforcement learning"): before a match one snapshot is drawn, and it
plays the whole match.
"""

from __future__ import annotations

from typing import Protocol

from marl_app.league.payoff import Floats


class MetaStrategy(Protocol):
    """A rule that mixes the members of a symmetric zero-sum game."""

    def solve(self, win_rates: Floats) -> Floats:
        """Probabilities [n], summing to 1, of n >= 1 players with `win_rates` [n, n] of row against column."""
        ...
