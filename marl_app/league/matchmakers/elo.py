"""Opponents of one's own strength, by rating: what ladders for humans do.

The weight of an opponent is exp(-(d / scale)^2) for a difference of d Elo points. The ratings are fitted to the payoff
of the learner and the pool (Bradley and Terry, 1952; see `ratings`) whenever a learner asks: milliseconds for a hundred
snapshots. PFSP with `variance` is the same idea from win rates alone; ratings also judge opponents that were hardly
met, and see no cycles.
"""

from __future__ import annotations

import numpy as np

from marl_app.league.matchmakers.matchmaker import Branch, against
from marl_app.league.payoff import Floats
from marl_app.league.ratings import bradley_terry
from marl_app.league.view import LeagueView


def proximity(differences: Floats, scale: float) -> Floats:
    """Probabilities [k] of opponents that are `differences` [k] Elo points away."""
    exponents = -((np.asarray(differences, np.float64) / scale) ** 2)
    weights: Floats = np.exp(exponents - exponents.max(initial=-np.inf))  # the nearest is 1: they never all vanish
    normalized: Floats = weights / weights.sum()
    return normalized


class Elo:
    """All snapshots of all lineages, by how near their rating is; at `scale` points the weight is 1/e."""

    def __init__(self, scale: float) -> None:
        if not scale > 0:
            raise ValueError(f"scale must be > 0 Elo points, not {scale}")
        self.scale = scale

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        pool = view.facing(learner)
        players = [learner, *(snapshot.player.id for snapshot in pool)]
        wins, _ = view.payoff.counts(players)
        ratings = bradley_terry(wins)
        return against(pool, view, learner, "elo", lambda _: proximity(ratings[1:] - ratings[0], self.scale))
