"""Amplify strengths, ignore weaknesses: the rectified Nash response.

Balduzzi et al. (2019), "Open-ended learning in symmetric zero-sum games" (PSRO_rN): a player is trained against those
members of the pool's Nash mixture that it beats or ties, weighted by the mixture, so that different players become good
at different things. The opposite of PFSP, which seeks who beats one. Any meta-strategy may take the place of Nash.

Where we differ: they train every member that the mixture plays; here the learners are given. One that loses to all of
the mixture responds to the whole of it.
"""

from __future__ import annotations

from marl_app.league.matchmakers.matchmaker import Branch, branches_over
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.payoff import Floats
from marl_app.league.view import LeagueView


def rectify(mixture: Floats, scores: Floats) -> Floats:
    """The `mixture` [k] of those against whom mean `scores` [k] are at least 0.5; all of it if there are none."""
    kept: Floats = mixture * (scores >= 0.5)
    total = kept.sum()
    return kept / total if total > 0 else mixture


class Rectified:
    """The snapshots that the learner does not lose to, each as likely as in the meta-strategy."""

    def __init__(self, strategy: MetaStrategy) -> None:
        self.strategy = strategy

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        pool = view.facing(learner)
        scores = view.payoff.scores(learner, [snapshot.player.id for snapshot in pool])
        probabilities = rectify(view.mixture_facing(learner, self.strategy), scores)
        return branches_over(pool, view, learner, "rectified", probabilities)
