"""The league: players, results, matchmaking and freezes, as one value.

The loop of its owner (AlphaStar's coordinator and learners in one, Vinyals et al., 2019):

    assignment = league.assign("main", opponent_slots=4, rng=rng)      # to the env runners
    league.record(outcomes)                                            # from the env runners
    for freeze in league.tick(progress, rng):                          # decisions; the pool does not change yet
        digest = ...                                                   # the owner stores the weights
        league.add_snapshot(freeze.learner, digest, agent_steps, freeze.reason)
        if freeze.reset_to is not None:
            ...                                                        # the owner loads those weights
            league.reset(freeze.learner, freeze.reset_to)

Weights never pass through here, only their digests.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from marl_app.league.assignment import Assignment, Candidates, Opponent
from marl_app.league.lineups import Lineups
from marl_app.league.matchmakers.matchmaker import Adaptive, Matchmaker, load_states, save_states
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.meta.uniform import UniformMixture
from marl_app.league.outcomes import Outcomes
from marl_app.league.payoff import Float64s, Payoff
from marl_app.league.players import GUEST, INITIAL, MAIN_AGENT, Guest, Learner, Player, Snapshot
from marl_app.league.reset import Freeze, reset_to
from marl_app.league.schedule import Schedule, StatefulSchedule, TrainingProgress
from marl_app.league.thinning.oldest import Oldest
from marl_app.league.thinning.thinning import Drop, Thinning
from marl_app.league.view import LeagueView, Mixtures, Tally

__all__ = ["INITIAL", "Assignment", "Drop", "Freeze", "League", "Opponent", "Outcomes", "TrainingProgress"]

# Increased when `state_dict` changes in a way that `load_state_dict` of older versions cannot read.
STATE_VERSION = 5


@dataclass
class Career:
    """The history of a learner: matches recorded (self-play included), resets, and the origin of its weights.

    `origin` is the digest of the snapshot that its training continued from, None for initial weights.
    """

    matches: int = 0
    resets: int = 0
    origin: str | None = None


class League:
    """Learners, the pool of their snapshots, and the payoff between all of them.

    Arguments name players by their ids. Every method that takes a learner raises ValueError for an unknown learner.

    If the learners have sides, each side has a separate pool: a learner meets snapshots of the other side only, and
    each pool has a separate meta-strategy.

    With a `pool_limit`, `thinning` (None: oldest first) picks the snapshots that leave a larger pool; the newest
    snapshot of each learner always stays. Guests (see `invite`) stay too, and do not count towards the limit. The
    `meta_strategy` (None: uniform) is the distribution over the pool as a whole.
    """

    def __init__(
        self,
        learners: Sequence[Learner],
        matchmaker: Matchmaker,
        schedule: Schedule,
        payoff: Payoff | None = None,
        pool_limit: int | None = None,
        meta_strategy: MetaStrategy | None = None,
        thinning: Thinning | None = None,
    ) -> None:
        self.learners = {learner.player.id: learner for learner in learners}
        if not learners or len(self.learners) < len(learners):
            raise ValueError(f"a league needs learners of different lineages, not {list(learners)}")
        if pool_limit is not None and pool_limit < len(learners):
            raise ValueError(f"pool_limit={pool_limit} is too small: each of {len(learners)} learners keeps a snapshot")
        _check_sides(learners)
        self.matchmaker = matchmaker
        self.schedule = schedule
        self.payoff = Payoff() if payoff is None else payoff
        self.pool_limit = pool_limit
        self.meta_strategy = UniformMixture() if meta_strategy is None else meta_strategy
        self.thinning = Oldest() if thinning is None else thinning
        self.dropped: tuple[Drop, ...] = ()  # snapshots that left the pool at the last freeze; not saved
        self.careers = {learner: Career() for learner in self.learners}
        self._pool: dict[str, Snapshot] = {}  # by player id, oldest first
        self._tallies = {learner: Tally() for learner in self.learners}
        self._measured: set[tuple[str, str]] = set()  # measured pairs of the pool, the ids of each pair sorted
        self._lineups = Lineups()
        self._elo_origin: tuple[str, float] | None = None  # a snapshot and its Elo: the origin of all ratings
        # Caches. A change of results invalidates the first two; a change of the pool invalidates all three. (Results of
        # learners do not change the payoff within the pool, from which meta-strategies are solved.)
        self._candidates: dict[str, Candidates] = {}  # by learner
        self._ratings: dict[str, float] = {}  # Elo by player id, of learners and pool
        self._mixtures: Mixtures = {}

    @property
    def matches(self) -> int:
        """Matches recorded so far, self-play included."""
        return sum(career.matches for career in self.careers.values())

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The pool, oldest first."""
        return tuple(self._pool.values())

    @property
    def view(self) -> LeagueView:
        """The current state, read-only; it shares the caches of the league until the next change."""
        learners, tallies = tuple(self.learners.values()), dict(self._tallies)
        return LeagueView(
            learners,
            self.snapshots,
            self.payoff,
            tallies,
            mixtures=self._mixtures,
            lineups=self._lineups,
            elo_origin=self._elo_origin,
            fitted_ratings=self._ratings,
        )

    def assign(
        self,
        learner: str,
        opponent_slots: int,
        rng: np.random.Generator,
        held: Collection[str] = (),
        tolerance: float = 0.0,
    ) -> Assignment:
        """Return the next opponents of the learner, at most `opponent_slots` different ones; see `Candidates.draw`.

        The matchmaker is called once after each change of the league, not for every assignment.
        """
        self._check_learner(learner)
        if learner not in self._candidates:
            digests = {player: snapshot.digest for player, snapshot in self._pool.items()}
            branches, side = self.matchmaker.branches(self.view, learner), self.learners[learner].side
            self._candidates[learner] = Candidates(learner, branches, digests, side)
        return self._candidates[learner].draw(opponent_slots, rng, held, tolerance)

    def record(self, outcomes: Outcomes) -> None:
        """Count results. Self-play counts as matches only, because it carries no information about strength.

        Rows with the same opponent are one batch of the payoff. Rows against snapshots that have left the pool count as
        matches only. Raises ValueError if an opponent was never in the league; then nothing of `outcomes` is counted.
        """
        learner = outcomes.learner
        self._check_learner(learner)
        players = self.learners.keys() | self._pool.keys()
        unknown = [name for name in set(outcomes.opponents) - players if not self._was_in_pool(name)]
        if unknown:
            raise ValueError(
                f"results of {learner} against unknown players {sorted(unknown)}: use players of the league"
            )
        self._invalidate_results()
        # Sum the rows of each opponent, so that the order of rows does not matter: results int64 [opponents, 3], scores
        # float64 [opponents]; `row` [rows] is the index of the opponent of each row.
        opponents, row = np.unique(np.array(outcomes.opponents, dtype=np.str_), return_inverse=True)
        results, scores = np.zeros((len(opponents), 3), np.int64), np.bincount(row, outcomes.scores, len(opponents))
        np.add.at(results, row, np.stack([outcomes.wins, outcomes.draws, outcomes.losses], axis=1))
        # Opponents that have left the pool are skipped. The tally is of the pool, the payoff of all players.
        for opponent, (wins, draws, losses), score in zip(
            opponents.tolist(), results.tolist(), scores.tolist(), strict=True
        ):
            if opponent not in players:
                continue
            self.payoff.record(learner, opponent, wins, draws, losses, score)
            if opponent in self._pool:
                tally = self._tallies[learner]
                self._tallies[learner] = Tally(tally.wins + wins, tally.draws + draws, tally.losses + losses)
        self.careers[learner].matches += outcomes.matches
        # The matchmaker gets a view that already contains these results.
        if isinstance(self.matchmaker, Adaptive):
            self.matchmaker.record(self.view, outcomes)

    def record_measured_pair(
        self, home: str, away: str, wins: float, draws: float, losses: float, score: float
    ) -> None:
        """Replace the record of two snapshots by results that were measured outside of training.

        `wins`, `draws` and `losses` count matches and `score` sums the scores, from the side of `home`. Does nothing if
        one of the two has left the pool.
        """
        if home in self._pool and away in self._pool:
            self._invalidate_pool()
            self.payoff.replace(home, away, wins, draws, losses, score)
            self._measured.add((min(home, away), max(home, away)))

    def record_measured_lineup(self, players: Sequence[str], scores: Sequence[float]) -> None:
        """Record the mean score of each of these snapshots in matches of all of them, measured outside of training.

        Meta-strategies use it. Does nothing if one of the snapshots has left the pool.
        """
        if self._pool.keys() >= set(players):
            self._invalidate_pool()
            self._lineups.record(players, scores)

    def unmeasured_lineups(self, sides: int) -> list[tuple[str, ...]]:
        """Return the lineups of the pool for `sides` sides without a measurement, of the newest snapshot first."""
        return self._lineups.unmeasured(list(self._pool), sides)

    def unmeasured_pairs(self) -> list[tuple[str, str]]:
        """Return the pairs of the pool that may meet and have no measurement; those of the newest snapshot first.

        In a league with a pool per side, the first player of a pair plays side 0. (A guest may play either side.)
        """
        pairs = []
        # Each snapshot with all older ones. Both sides None: one pool, all pairs. Guests without a side pair with all.
        pool = list(self._pool.items())
        for number in range(len(pool) - 1, 0, -1):
            b, newer = pool[number]
            for a, older in pool[:number]:
                if (min(a, b), max(a, b)) not in self._measured and (older.side is None or older.side != newer.side):
                    pairs.append((b, a) if newer.side == 0 or older.side == 1 else (a, b))
        return pairs

    def tick(self, progress: TrainingProgress, rng: np.random.Generator | None = None) -> list[Freeze]:
        """Return the learners to freeze now, by the schedule, and their resets. Call it once per iteration.

        It changes only `rng` and the state of the schedule. `rng` is used for random resets (of league exploiters).

        A learner without any snapshot is frozen immediately: AlphaStar's pool too begins with the initial agent, and
        without a first opponent no win rate could ever trigger a freeze.
        """
        view = self.view
        freezes = []
        for name, learner in self.learners.items():
            if not view.snapshots_of(learner.lineage):
                freezes.append(Freeze(name, "the first generation"))
            elif reason := self.schedule.due(view, name, progress):
                freezes.append(Freeze(name, reason, reset_to(learner, view, rng)))
        return freezes

    def invite(self, guests: Sequence[Guest]) -> None:
        """Replace the guests of the pool, which come before all snapshots of the run.

        A guest that is in the pool already, with the same digest, keeps its record; guests that are not given leave the
        pool. Raises ValueError if a guest has the name of a learner or of a lineage in the pool.
        """
        taken = self.learners.keys() | {s.player.lineage for s in self.snapshots if s.role != GUEST}
        if clashes := [guest.lineage for guest in guests if guest.lineage in taken]:
            raise ValueError(f"the guest {clashes[0]} has the name of a learner: choose another name")
        self._invalidate_pool()
        # Remove guests that are gone or have another digest; then put all guests in front, as the oldest snapshots.
        invited = {guest.snapshot.player.id: guest.snapshot for guest in guests}
        for player, snapshot in list(self._pool.items()):
            if snapshot.role == GUEST and (player not in invited or invited[player].digest != snapshot.digest):
                self._remove_snapshot(player)
        self._pool = {**invited, **{player: s for player, s in self._pool.items() if player not in invited}}

    def next_snapshot(self, learner: str) -> Player:
        """Return the player that a freeze of the learner would create now."""
        self._check_learner(learner)
        earlier = self.view.snapshots_of(learner)
        return Player(learner, (earlier[-1].player.generation or 0) + 1 if earlier else 0)

    def add_snapshot(self, learner: str, digest: str, agent_steps: int, reason: str) -> Snapshot:
        """Add a snapshot of the learner to the pool, as its next generation, and thin the pool if it is too large.

        The snapshot inherits the learner's record in the payoff; the learner's tally restarts at 0. `digest` names the
        weights, which the caller stores first; `agent_steps` are those that the learner has trained on.
        """
        player = self.next_snapshot(learner)
        self._invalidate_pool()
        snapshot = Snapshot(
            player=player,
            digest=digest,
            agent_steps=int(agent_steps),
            parent=self.careers[learner].origin,
            role=self.learners[learner].role,
            reason=reason,
            side=self.learners[learner].side,
        )
        self._pool[player.id] = snapshot
        # Measurements of pairs are not inherited: `_measured` lists pairs of snapshots, and this one is new.
        self.payoff.copy_row(learner, player.id)
        self._tallies[learner] = Tally()
        self.careers[learner].origin = digest
        # The first snapshot of the first learner becomes the origin of all ratings.
        if self._elo_origin is None and learner == next(iter(self.learners)):
            self._elo_origin = (player.id, 0.0)
        self.dropped = tuple(self._thin())
        return snapshot

    def reset(self, learner: str, to: str) -> None:
        """Record that the learner starts again with the weights of `to`: the id of a snapshot of the pool, or INITIAL.

        The learner inherits the record of that snapshot, or has none; its tally restarts at 0. Raises ValueError for an
        unknown snapshot.
        """
        self._check_learner(learner)
        self._invalidate_results()
        if to == INITIAL:
            self.payoff.drop(learner)
        elif to in self._pool:
            self.payoff.copy_row(to, learner)
        else:
            raise ValueError(f"{learner} cannot be reset to {to!r}: the pool has no such snapshot; use {INITIAL!r}")
        self._tallies[learner] = Tally()
        career = self.careers[learner]
        career.resets += 1
        career.origin = None if to == INITIAL else self._pool[to].digest

    def _thin(self) -> Iterator[Drop]:
        """Remove snapshots until the pool is within its limit."""
        guests = {player for player, snapshot in self._pool.items() if snapshot.role == GUEST}
        while self.pool_limit is not None and len(self._pool) - len(guests) > self.pool_limit:
            view = self.view
            protected = guests | {line[-1].player.id for line in map(view.snapshots_of, self.learners) if line}
            drop = self.thinning.drop(view, protected)
            if drop.player not in self._pool or drop.player in protected:
                raise ValueError(f"{type(self.thinning).__name__} drops {drop.player}, which may not leave the pool")
            if self._elo_origin is not None and drop.player == self._elo_origin[0]:
                # The oldest remaining snapshot of the lineage becomes the origin, at its current Elo, so that ratings
                # before and after the change are comparable.
                lineage = Player.parse(drop.player).lineage
                others = [s.player for s in self.snapshots if s.player.id != drop.player]
                successor = next((player for player in others if player.lineage == lineage), others[0]).id
                self._elo_origin = (successor, self.ratings()[successor])
            self._remove_snapshot(drop.player)
            yield drop

    def _remove_snapshot(self, player: str) -> None:
        """Remove a snapshot from the pool, with all its results."""
        self._invalidate_pool()
        del self._pool[player]
        self._measured = {pair for pair in self._measured if player not in pair}
        self._lineups.drop(player)
        self.payoff.drop(player)

    def ratings(self) -> dict[str, float]:
        """Return the Elo ratings of all players by id (see `LeagueView.ratings`).

        Generation 0 of the first learner has the rating 0, or that learner while it has no snapshots.
        """
        return dict(self.view.ratings())

    def bands(self, learner: str) -> dict[str, tuple[float, float]]:
        """Return the learner's (win rate, effective games) against the oldest, middle and newest third of opponents.

        Forgetting shows here first, as a falling win rate against the oldest third. The opponents are the snapshots
        that it may meet. Guests, which have no age, and empty thirds are left out; 0.5 against a third without games.
        """
        self._check_learner(learner)
        pool = [snapshot.player.id for snapshot in self.view.facing(learner) if snapshot.role != GUEST]
        games = self.payoff.games(learner, pool)
        points = self.payoff.win_rates(learner, pool) * games
        bands: dict[str, tuple[float, float]] = {}
        # The pool is oldest first; with fewer than three snapshots the last thirds are empty.
        for name, third in zip(("oldest", "middle", "newest"), np.array_split(np.arange(len(pool)), 3), strict=True):
            if len(third):
                total = float(games[third].sum())
                bands[name] = (float(points[third].sum()) / total if total else 0.5, total)
        return bands

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a run changes, as JSON types, without settings (matchmaker, schedule, decay)."""
        return {
            "version": STATE_VERSION,
            "learners": [asdict(learner) for learner in self.learners.values()],
            "snapshots": [{**vars(snapshot), "player": player} for player, snapshot in self._pool.items()],
            "tallies": {learner: asdict(tally) for learner, tally in self._tallies.items()},
            "matches": self.matches,  # for readers of checkpoints; not loaded, the careers have it by learner
            "careers": {learner: asdict(career) for learner, career in self.careers.items()},
            "zero": self._elo_origin,
            "measured": sorted(self._measured),
            "lineups": self._lineups.state_dict(),
            "payoff": self.payoff.state_dict(),
            "matchmaker": save_states([self.matchmaker]),
            "schedule": self.schedule.state_dict() if isinstance(self.schedule, StatefulSchedule) else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved league: with the same settings and rng it continues exactly as the saved league would have.

        Learners that the saved league did not have start without any record. Of learners that only the saved league
        had, the snapshots stay in the pool. Raises ValueError for another version of the format.
        """
        if state["version"] != STATE_VERSION:
            raise ValueError(
                f"the league state has version {state['version']!r}, expected {STATE_VERSION}: resume it with the "
                "program that wrote it"
            )
        self._invalidate_pool()
        # Missing learners get empty tallies and careers; careers of retired learners are kept, for `_was_in_pool`.
        snapshots = [Snapshot(**{**fields, "player": Player.parse(fields["player"])}) for fields in state["snapshots"]]
        self._pool = {snapshot.player.id: snapshot for snapshot in snapshots}
        tallies = {learner: Tally(**fields) for learner, fields in state["tallies"].items()}
        self._tallies = {learner: tallies.get(learner, Tally()) for learner in self.learners}
        careers = {learner: Career(**fields) for learner, fields in state["careers"].items()}
        self.careers = {learner: Career() for learner in self.learners} | careers
        self._elo_origin = tuple(state["zero"]) if state["zero"] else None
        self._measured = {(first, second) for first, second in state["measured"]}
        self._lineups.load_state_dict(state["lineups"])
        self.payoff.load_state_dict(state["payoff"])
        # The payoff has no use for learners without weights; their snapshots keep their rows.
        for retired in tallies.keys() - self.learners.keys():
            self.payoff.drop(retired)
        load_states([self.matchmaker], state["matchmaker"])
        if isinstance(self.schedule, StatefulSchedule) and state["schedule"] is not None:
            self.schedule.load_state_dict(state["schedule"])

    def mixture(self, side: int | None = None) -> Float64s:
        """Return the league's meta-strategy: probabilities [k] of `view.pool(side)`, for a side of `view.sides`."""
        return self.view.mixture(self.meta_strategy, side)

    def _invalidate_results(self) -> None:
        """Discard what was computed from results. New dicts, so that views made before keep their values."""
        self._candidates = {}
        self._ratings = {}

    def _invalidate_pool(self) -> None:
        """Discard what was computed from results or from the pool."""
        self._invalidate_results()
        self._mixtures = {}

    def _was_in_pool(self, name: str) -> bool:
        """Return whether this snapshot was in the pool before.

        Any generation is accepted for a lineage that no longer trains, because its newest generation is not saved.
        """
        player = Player.parse(name)
        if not player.is_snapshot:
            return False
        if player.lineage in self.learners:
            return player < self.next_snapshot(player.lineage)
        return player.lineage in self.careers

    def _check_learner(self, learner: str) -> None:
        """Raise ValueError for an unknown learner."""
        if learner not in self.learners:
            raise ValueError(f"the league has no learner {learner!r}: expected one of {list(self.learners)}")


def _check_sides(learners: Sequence[Learner]) -> None:
    """Raise ValueError unless no learner has a side, or each has one and no side alone has main agents."""
    sides = {learner.side for learner in learners}
    mains = {learner.side for learner in learners if learner.role == MAIN_AGENT}
    if sides != {None} and (None in sides or len(mains) == 1):
        raise ValueError(
            "learners.<name>.side must be null for all, or 0 for some and 1 for others, with a main agent on each, not "
            + ", ".join(f"{learner.side} for {learner.lineage}" for learner in learners)
        )
