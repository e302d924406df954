"""Policy-space response oracles: opponents are drawn from the meta-strategy of the pool.

Lanctot et al. (2017), "A unified game-theoretic approach to multiagent reinforcement learning": the learner becomes a
best response to the meta-strategy, joins the pool, and the meta-strategy is solved again. With Nash it is the double
oracle of McMahan, Gordon and Blum (2003), with the uniform meta-strategy fictitious play. The payoff between snapshots
is simulated if `league.sims_per_entry` is set, as in the paper; otherwise it comes from the matches of their learners.
"""

from __future__ import annotations

from marl_app.league.matchmakers.matchmaker import Branch, branches_over
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.view import LeagueView


class Meta:
    """Snapshots of all lineages, with the probabilities of the meta-strategy."""

    def __init__(self, strategy: MetaStrategy) -> None:
        self.strategy = strategy

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        probabilities = view.mixture_facing(learner, self.strategy)
        return branches_over(view.facing(learner), view, learner, "meta", probabilities)
