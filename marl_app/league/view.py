"""What matchmakers and schedules may look at: the league, read-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.payoff import Floats, Payoff
from marl_app.league.players import Learner, Player, Snapshot


@dataclass(frozen=True)
class Tally:
    """Results of a learner against the pool since its last freeze, every game counted once and none decayed."""

    wins: int = 0
    draws: int = 0
    losses: int = 0

    @property
    def games(self) -> int:
        return self.wins + self.draws + self.losses

    @property
    def win_rate(self) -> float:
        """Wins plus half the draws, per game; 0.5 without games."""
        return (self.wins + self.draws / 2) / self.games if self.games else 0.5


@dataclass(frozen=True)
class LeagueView:
    """The state of a league at one moment. Who receives it reads it; nobody writes to `payoff` through it."""

    learners: tuple[Learner, ...]
    snapshots: tuple[Snapshot, ...]  # of all lineages, oldest first
    payoff: Payoff
    tallies: Mapping[str, Tally]  # by learner id

    def role(self, learner: str) -> str:
        """What the learner with this id is for."""
        return {one.player.id: one.role for one in self.learners}[learner]

    def with_role(self, role: str) -> tuple[str, ...]:
        """The ids of the learners with this role."""
        return tuple(learner.player.id for learner in self.learners if learner.role == role)

    def of(self, lineage: str) -> tuple[Snapshot, ...]:
        """The snapshots of one lineage, oldest first."""
        return tuple(snapshot for snapshot in self.snapshots if snapshot.player.lineage == lineage)

    def mixture(self, strategy: MetaStrategy) -> Floats:
        """The meta-strategy of the pool: probabilities [k] of `snapshots`; empty without any."""
        pool = [snapshot.player.id for snapshot in self.snapshots]
        return strategy.solve(self.payoff.matrix(pool)) if pool else np.zeros(0)

    def last_freeze(self, learner: str) -> int:
        """Agent steps the learner had trained on when it was last frozen; 0 if it never was."""
        snapshots = self.of(Player.parse(learner).lineage)
        return snapshots[-1].agent_steps if snapshots else 0
