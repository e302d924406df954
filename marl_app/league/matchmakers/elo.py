"""Opponents of the learner's strength, by rating, as in ladders for humans.

The weight of an opponent is exp(-(d / scale)^2) for a difference of d Elo points. The ratings are the league's, fitted
to the payoff of all learners and the pool (Bradley and Terry, 1952; see `ratings`) once per change of the payoff, for
all learners together: milliseconds for a hundred snapshots. PFSP with `variance` is the same idea with win rates alone;
ratings also cover opponents with few games, and cannot represent cycles.
"""

from __future__ import annotations

import numpy as np

from marl_app.league.matchmakers.matchmaker import Branch, branches_over, self_play
from marl_app.league.payoff import Float64s
from marl_app.league.view import LeagueView


def proximity(differences: Float64s, scale: float) -> Float64s:
    """Return probabilities [k] of opponents at `differences` [k] in Elo points."""
    exponents = -((np.asarray(differences, np.float64) / scale) ** 2)
    # Relative to the largest exponent, the nearest opponent has the weight 1, so not all weights can round to 0.
    weights: Float64s = np.exp(exponents - exponents.max(initial=-np.inf))
    normalized: Float64s = weights / weights.sum()
    return normalized


class Elo:
    """Snapshots of all lineages, weighted by the distance in rating; at `scale` points the weight is 1/e."""

    def __init__(self, scale: float) -> None:
        if not scale > 0:
            raise ValueError(f"scale must be > 0 Elo points, not {scale}")
        self.scale = scale

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        pool = view.facing(learner)
        if not pool:
            return self_play(view, learner)
        ratings = view.ratings()
        differences = np.array([ratings[snapshot.player.id] for snapshot in pool]) - ratings[learner]
        return branches_over(pool, view, learner, "elo", proximity(differences, self.scale))
