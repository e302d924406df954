"""Fictitious self-play: the opponent is drawn uniformly from the snapshots of all lineages.

Heinrich, Lanctot and Silver (2015), "Fictitious self-play in extensive-form games". They train a best response to the
average of all past strategies; a uniform draw from the snapshots is that average.
"""

from __future__ import annotations

from marl_app.league.matchmakers.matchmaker import Branch, branches_over, uniform
from marl_app.league.view import LeagueView


class Uniform:
    """All snapshots of the pool with equal probabilities."""

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        candidates = view.facing(learner)
        return branches_over(candidates, view, learner, "uniform", uniform(candidates))
