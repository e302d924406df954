"""Mostly self-play, and past snapshots with lower probabilities for those that were beaten often.

Berner et al. (2019), "Dota 2 with large scale deep reinforcement learning": 80% of the games are against the latest
version. For the rest, each snapshot i of N has a quality q_i and is drawn with probability p_i = softmax(q)_i. A new
snapshot starts at the highest quality of the pool. When the learner beats i, q_i falls by eta / (N p_i), with eta =
0.01; a loss changes nothing. The division by p_i makes the expected decrease per game of the pool independent of how
often a snapshot is drawn, so qualities measure how often each is beaten.

Where we differ:
- Results come in batches: all wins of a batch count with the probabilities before it.
- A win lowers a quality by at most 1; otherwise one lucky win against a rare opponent would end all its matches.
- Each learner has separate qualities, so several learners do not lower the qualities of each other's opponents.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax

from marl_app.league.matchmakers.matchmaker import Branch, branches_over, scaled, self_play
from marl_app.league.outcomes import Outcomes
from marl_app.league.payoff import Float64s
from marl_app.league.view import LeagueView

QUALITY_RULE = "quality"  # only matches of this rule change a quality


class OpenAIFive:
    """The learner itself or, with probability `past`, a snapshot of any lineage by its quality (rule `quality`)."""

    def __init__(self, past: float, eta: float) -> None:
        if not 0 <= past <= 1 or not eta > 0:
            raise ValueError(f"past must be in [0, 1] and eta > 0, not {past} and {eta}")
        self.past = past
        self.eta = eta
        self._qualities: dict[str, dict[str, float]] = {}  # by learner, then by player id

    def qualities(self, view: LeagueView, learner: str) -> Float64s:
        """Return the quality [N] of each snapshot that this learner may meet."""
        # Snapshots that joined after the last record have no stored quality yet.
        known = self._qualities.get(learner, {})
        pool = [snapshot.player.id for snapshot in view.facing(learner)]
        initial = max((known[player] for player in pool if player in known), default=0.0)
        return np.array([known.get(player, initial) for player in pool])

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        pool = view.facing(learner)
        probabilities = softmax(self.qualities(view, learner)) if pool else np.zeros(0)
        past = branches_over(pool, view, learner, QUALITY_RULE, probabilities)
        return scaled(self_play(view, learner), 1 - self.past) + scaled(past, self.past)

    def record(self, view: LeagueView, outcomes: Outcomes) -> None:
        """Lower the qualities of beaten snapshots; add those of new snapshots, and remove those that left the pool."""
        qualities = self.qualities(view, outcomes.learner)
        row = {snapshot.player.id: i for i, snapshot in enumerate(view.facing(outcomes.learner))}
        wins = np.zeros(len(row))  # [N] in this batch, by this rule
        for opponent, rule, won in zip(outcomes.opponents, outcomes.rules, outcomes.wins.tolist(), strict=True):
            if rule == QUALITY_RULE and opponent in row:
                wins[row[opponent]] += won
        # q_i falls by eta / (N p_i) per win.
        if len(row):
            expected = len(row) * softmax(qualities)  # [N] N p_i; the lower bound eta limits the decrease per win to 1
            qualities -= wins * self.eta / np.maximum(expected, self.eta)
        self._qualities[outcomes.learner] = dict(zip(row, qualities.tolist(), strict=True))

    def state_dict(self) -> dict[str, Any]:
        return {"qualities": {learner: dict(known) for learner, known in self._qualities.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._qualities = {learner: dict(known) for learner, known in state["qualities"].items()}
