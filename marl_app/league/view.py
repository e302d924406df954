"""What matchmakers and schedules may look at: the league, read-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from marl_app.league.lineups import Lineups
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.payoff import Floats, Payoff
from marl_app.league.players import MAIN_AGENT, Learner, Player, Snapshot


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


Mixtures = dict[tuple[MetaStrategy, int | None], Floats]
"""Probabilities of the pool of a side (None: the whole pool), by meta-strategy."""


@dataclass(frozen=True)
class LeagueView:
    """The state of a league at one moment. Who receives it reads it; nobody writes to `payoff` through it."""

    learners: tuple[Learner, ...]
    snapshots: tuple[Snapshot, ...]  # of all lineages, oldest first
    payoff: Payoff
    tallies: Mapping[str, Tally]  # by learner id
    mixtures: Mixtures = field(default_factory=dict)  # meta-strategies of this pool that were solved already
    lineups: Lineups = field(default_factory=Lineups)  # what more than two snapshots score at one match

    @property
    def sides(self) -> tuple[int, ...] | tuple[None]:
        """Which pools there are: (None,), one for all sides, or (0, 1), one for each."""
        return (None,) if self.learners[0].side is None else (0, 1)

    @property
    def evaluated_learners(self) -> tuple[str, ...]:
        """The learners that are evaluated: the first one; of a league with a pool per side the first main agents."""
        if self.learners[0].side is None:
            return (self.learners[0].player.id,)
        return self.main_agents(0)[0], self.main_agents(1)[0]

    def learner(self, learner: str) -> Learner:
        """The learner with this id."""
        return {one.player.id: one for one in self.learners}[learner]

    def role(self, learner: str) -> str:
        """What the learner with this id is for."""
        return self.learner(learner).role

    def side(self, player: str) -> int | None:
        """The side that a learner or snapshot with this id plays; None: any."""
        everybody: tuple[Learner | Snapshot, ...] = (*self.learners, *self.snapshots)
        return {one.player.id: one.side for one in everybody}[player]

    def faced_side(self, learner: str) -> int | None:
        """The side that this learner's opponents play; None: whichever is left."""
        side = self.learner(learner).side
        return None if side is None else 1 - side

    def facing(self, learner: str) -> tuple[Snapshot, ...]:
        """The snapshots that this learner may meet, oldest first."""
        return self.pool(self.faced_side(learner))

    def main_agents_facing(self, learner: str) -> tuple[str, ...]:
        """The ids of the main agents that this learner may meet: all, itself included, or those of the other side."""
        return self.main_agents(self.faced_side(learner))

    def main_agents(self, side: int | None = None) -> tuple[str, ...]:
        """The ids of the main agents of a side; None: all."""
        return tuple(one.player.id for one in self.learners if one.role == MAIN_AGENT and side in (None, one.side))

    def pool(self, side: int | None = None) -> tuple[Snapshot, ...]:
        """The snapshots that can play a side, oldest first; guests can play any. None: all."""
        return tuple(snapshot for snapshot in self.snapshots if side is None or snapshot.side in (None, side))

    def snapshots_of(self, lineage: str) -> tuple[Snapshot, ...]:
        """The snapshots of one lineage, oldest first."""
        return tuple(snapshot for snapshot in self.snapshots if snapshot.player.lineage == lineage)

    def mixture(self, strategy: MetaStrategy, side: int | None = None) -> Floats:
        """The meta-strategy of the pool: probabilities [k] of `pool(side)`; empty without any.

        In a league with a pool per side, each pool has its own: a side is to be named.
        """
        if (strategy, side) not in self.mixtures:
            self.mixtures[strategy, side] = self._solve(strategy, side)
        return self.mixtures[strategy, side].copy()

    def _solve(self, strategy: MetaStrategy, side: int | None) -> Floats:
        own = [snapshot.player.id for snapshot in self.pool(side)]
        if not own:
            return np.zeros(0)
        if side is None:
            return strategy.solve(self.lineups.game(own, self.payoff.matrix(own)))
        others = [snapshot.player.id for snapshot in self.pool(1 - side)]
        return strategy.solve_side(self.payoff.matrix(own, others)) if others else np.full(len(own), 1 / len(own))

    def last_freeze(self, learner: str) -> int:
        """Agent steps the learner had trained on when it was last frozen; 0 if it never was."""
        snapshots = self.snapshots_of(Player.parse(learner).lineage)
        return snapshots[-1].agent_steps if snapshots else 0
