"""Fictitious self-play: the opponent is drawn uniformly from all snapshots of all lineages.

Heinrich, Lanctot and Silver (2015), "Fictitious self-play in extensive-form games". They best-respond to the average
of all past strategies; a uniform draw from the snapshots is that average.
"""

from __future__ import annotations

from marl_app.league.matchmakers.matchmaker import Branch, branches_over, uniform
from marl_app.league.view import LeagueView


class Uniform:
    """Every snapshot of the pool is equally likely."""

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        candidates = view.facing(learner)
        return branches_over(candidates, view, learner, "uniform", uniform(candidates))
