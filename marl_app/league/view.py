"""The read-only state of a league that matchmakers, schedules and thinnings receive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from marl_app.league.lineups import Lineups
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.payoff import Float64s, Payoff
from marl_app.league.players import MAIN_AGENT, Learner, Snapshot
from marl_app.league.ratings import bradley_terry


@dataclass(frozen=True)
class Tally:
    """Results of a learner against the pool since its last freeze, without decay."""

    wins: int = 0
    draws: int = 0
    losses: int = 0

    @property
    def games(self) -> int:
        """The number of results."""
        return self.wins + self.draws + self.losses

    @property
    def win_rate(self) -> float:
        """Wins plus half the draws, per game; 0.5 without games."""
        return (self.wins + self.draws / 2) / self.games if self.games else 0.5


Mixtures = dict[tuple[MetaStrategy, int | None], Float64s]
"""Probabilities [k] of the pool of a side (None: the whole pool), by (meta-strategy, side)."""


@dataclass(frozen=True)
class LeagueView:
    """The state of a league at one moment. Callers must not change `payoff` or `lineups`, which are the league's."""

    learners: tuple[Learner, ...]
    snapshots: tuple[Snapshot, ...]  # of all lineages, oldest first
    payoff: Payoff
    tallies: Mapping[str, Tally]  # by learner id
    mixtures: Mixtures = field(default_factory=dict)  # solved meta-strategies of this pool, filled by `mixture`
    lineups: Lineups = field(default_factory=Lineups)  # mean scores in matches of more than two snapshots
    elo_origin: tuple[str, float] | None = None  # a player and its Elo, which all ratings are relative to
    fitted_ratings: dict[str, float] = field(default_factory=dict)  # Elo by player id, filled by `ratings`
    # The two dicts are caches that all views of the same state share, so that each is computed once per state.

    @property
    def sides(self) -> tuple[int, ...] | tuple[None]:
        """The sides that have a pool: (None,) for one pool of all sides, or (0, 1) for one pool per side."""
        return (None,) if self.learners[0].side is None else (0, 1)

    @property
    def evaluated_learners(self) -> tuple[str, ...]:
        """The ids of the learners to evaluate: the first learner or, with a pool per side, the first main agents."""
        if self.learners[0].side is None:
            return (self.learners[0].player.id,)
        return self.main_agents(0)[0], self.main_agents(1)[0]

    def learner(self, learner: str) -> Learner:
        """Return the learner with this id. Raises KeyError for an unknown learner."""
        return {candidate.player.id: candidate for candidate in self.learners}[learner]

    def role(self, learner: str) -> str:
        """Return the role of the learner with this id."""
        return self.learner(learner).role

    def side(self, player: str) -> int | None:
        """Return the side that the learner or snapshot with this id plays; None: any. Raises KeyError if unknown."""
        candidates: tuple[Learner | Snapshot, ...] = (*self.learners, *self.snapshots)
        return {candidate.player.id: candidate.side for candidate in candidates}[player]

    def facing(self, learner: str) -> tuple[Snapshot, ...]:
        """Return the snapshots that this learner may meet, oldest first."""
        return self.pool(self._opposing_side(learner))

    def learners_facing(self, learner: str) -> tuple[str, ...]:
        """Return the ids of the learners that this learner may meet: all and itself, or those of the other side."""
        side = self._opposing_side(learner)
        return tuple(other.player.id for other in self.learners if side in (None, other.side))

    def main_agents_facing(self, learner: str) -> tuple[str, ...]:
        """Return the ids of the main agents among `learners_facing`."""
        return self.main_agents(self._opposing_side(learner))

    def mixture_facing(self, learner: str, strategy: MetaStrategy) -> Float64s:
        """Return the meta-strategy of the pool that this learner may meet: probabilities [k] of `facing(learner)`."""
        return self.mixture(strategy, self._opposing_side(learner))

    def _opposing_side(self, learner: str) -> int | None:
        """Return the side of this learner's opponents; None: all sides share one pool."""
        side = self.learner(learner).side
        return None if side is None else 1 - side

    def main_agents(self, side: int | None = None) -> tuple[str, ...]:
        """Return the ids of the main agents of a side; None: of all sides."""
        mains = (learner for learner in self.learners if learner.role == MAIN_AGENT)
        return tuple(learner.player.id for learner in mains if side in (None, learner.side))

    def pool(self, side: int | None = None) -> tuple[Snapshot, ...]:
        """Return the snapshots that can play a side, oldest first; None: all. Guests without a side can play any."""
        if side is None:
            return self.snapshots
        return tuple(snapshot for snapshot in self.snapshots if snapshot.side in (None, side))

    def snapshots_of(self, lineage: str) -> tuple[Snapshot, ...]:
        """Return the snapshots of one lineage, oldest first. A learner's id is the name of its lineage."""
        return tuple(snapshot for snapshot in self.snapshots if snapshot.player.lineage == lineage)

    def mixture(self, strategy: MetaStrategy, side: int | None = None) -> Float64s:
        """Return the meta-strategy of a pool: probabilities [k] of `pool(side)`; empty for an empty pool.

        In a league with a pool per side, each pool has a separate meta-strategy, and `side` must not be None.
        """
        # Meta-strategies have no __eq__, so the cache distinguishes instances, which may have different settings.
        if (strategy, side) not in self.mixtures:
            self.mixtures[strategy, side] = self._solve(strategy, side)
        return self.mixtures[strategy, side].copy()  # callers may change what they get

    def _solve(self, strategy: MetaStrategy, side: int | None) -> Float64s:
        """Return the meta-strategy of the pool of a side; uniform while the other side has no snapshots."""
        players = [snapshot.player.id for snapshot in self.pool(side)]
        if not players:
            return np.zeros(0)
        # One pool: a symmetric game, with an axis per side if lineups of more than two were measured.
        if side is None:
            return strategy.solve(self.lineups.game(players, self.payoff.matrix(players)))
        # A pool per side: the rows are this side's snapshots, the columns the other side's.
        opponents = [snapshot.player.id for snapshot in self.pool(1 - side)]
        if not opponents:
            return np.full(len(players), 1 / len(players))
        return strategy.solve_side(self.payoff.matrix(players, opponents))

    def ratings(self) -> Mapping[str, float]:
        """Return the Elo ratings of all learners and snapshots, by id (see `ratings.bradley_terry`).

        The Elo is relative to `elo_origin`; without it, to the first learner, whose rating is then 0. The ratings are
        fitted once per state of the league, however many learners and views of that state request them.
        """
        if not self.fitted_ratings:
            players = [*(learner.player.id for learner in self.learners), *(s.player.id for s in self.snapshots)]
            wins, _ = self.payoff.counts(players)
            ratings = bradley_terry(wins)
            origin, elo = self.elo_origin or (players[0], 0.0)
            # Only differences of ratings are determined; the shift puts the origin at its Elo.
            ratings += elo - ratings[players.index(origin)]
            self.fitted_ratings.update(zip(players, ratings.tolist(), strict=True))
        return self.fitted_ratings

    def last_freeze(self, learner: str) -> int:
        """Return the agent steps that the learner had trained on at its last freeze; 0 if it was never frozen.

        Raises KeyError for an unknown learner.
        """
        snapshots = self.snapshots_of(self.learner(learner).lineage)
        return snapshots[-1].agent_steps if snapshots else 0
