"""Amplify strengths, ignore weaknesses: the rectified Nash response.

Balduzzi et al. (2019), "Open-ended learning in symmetric zero-sum games" (PSRO_rN): a player is trained against those
members of the pool's Nash mixture that it beats or ties, weighted by the mixture, so that players specialize in
different strengths. PFSP does the opposite: it prefers opponents that beat the learner. Any meta-strategy may replace
Nash.

Where we differ: they train every member in the support of the mixture; here the learners are given. A learner that
loses to the whole mixture is trained against all of it.
"""

from __future__ import annotations

from marl_app.league.matchmakers.matchmaker import Branch, branches_over
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.payoff import Float64s
from marl_app.league.view import LeagueView


def rectify(mixture: Float64s, scores: Float64s) -> Float64s:
    """Return the `mixture` [k] restricted to opponents with mean `scores` [k] >= 0.5; unchanged if nothing remains."""
    kept: Float64s = mixture * (scores >= 0.5)
    total = kept.sum()
    return kept / total if total > 0 else mixture


class Rectified:
    """Snapshots that the learner does not lose to, weighted by the meta-strategy."""

    def __init__(self, strategy: MetaStrategy) -> None:
        self.strategy = strategy

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        pool = view.facing(learner)
        scores = view.payoff.scores(learner, [snapshot.player.id for snapshot in pool])
        probabilities = rectify(view.mixture_facing(learner, self.strategy), scores)
        return branches_over(pool, view, learner, "rectified", probabilities)
