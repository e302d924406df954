"""The league: the one value that knows who takes part, how they do, whom they play next and who is frozen when.

The loop of a run, as its owner sees it (AlphaStar's coordinator and learners in one, Vinyals et al., 2019):

    assignment = league.assign("main", opponent_slots=4, rng=rng)      # to the env runners
    league.record(outcomes)                                            # from the env runners
    for freeze in league.tick(progress, rng):                          # a question; nothing changes
        digest = ...                                                   # the owner stores the weights
        league.add_snapshot(freeze.learner, digest, agent_steps, freeze.reason)
        if freeze.reset_to is not None:
            ...                                                        # the owner loads those weights
            league.reset(freeze.learner, freeze.reset_to)

Weights never pass through here, only their digests.
"""

from __future__ import annotations

import itertools
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
from marl_app.league.payoff import Floats, Payoff
from marl_app.league.players import GUEST, INITIAL, MAIN_AGENT, Guest, Learner, Player, Snapshot
from marl_app.league.reset import Freeze, reset_to
from marl_app.league.schedule import Schedule, StatefulSchedule, TrainingProgress
from marl_app.league.thinning.oldest import Oldest
from marl_app.league.thinning.thinning import Drop, Thinning
from marl_app.league.view import LeagueView, Mixtures, Tally

__all__ = ["INITIAL", "Assignment", "Drop", "Freeze", "League", "Opponent", "Outcomes", "TrainingProgress"]

STATE_VERSION = 5


@dataclass
class Career:
    """What a learner has been through: matches recorded (self-play included), resets, and where its weights come from.

    `origin` is the digest of the snapshot that its weights were trained on from, None for initial weights.
    """

    matches: int = 0
    resets: int = 0
    origin: str | None = None


class League:
    """Learners, the pool of their snapshots, and the payoff between all of them.

    Players go by their ids. Every method that names a learner raises ValueError if the league has no such learner.

    If the learners have sides, each side has a pool of its own: a learner meets those of the other side only, and each
    pool has its own meta-strategy.

    With a `pool_limit` snapshots leave a pool that is larger, as `thinning` says (None: the oldest), but never a
    learner's newest one. Guests (see `invite`) stay, and do not count for the limit. The `meta_strategy` (None:
    uniform) is how the pool as a whole is played.
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
        self.dropped: tuple[Drop, ...] = ()  # who left the pool at the last freeze; not saved
        self.careers = {learner: Career() for learner in self.learners}
        self._pool: dict[str, Snapshot] = {}  # by player id, oldest first
        self._tallies = {learner: Tally() for learner in self.learners}
        self._measured: set[tuple[str, str]] = set()  # pairs of the pool, sorted
        self._lineups = Lineups()
        self._elo_origin: tuple[str, float] | None = None  # a snapshot, and its Elo: what all ratings are measured from
        # Worked out from the league as it is: whoever changes it clears the first, whoever changes the pool both.
        # (What learners win says nothing of the payoff within the pool, which meta-strategies are solved from.)
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
        """Whom the learner plays next, with at most `opponent_slots` different snapshots; see `Candidates.assign`.

        The matchmaker is asked once after each change of the league, and not for every assignment.
        """
        self._check(learner)
        if learner not in self._candidates:
            digests = {player: snapshot.digest for player, snapshot in self._pool.items()}
            branches, side = self.matchmaker.branches(self.view, learner), self.learners[learner].side
            self._candidates[learner] = Candidates(learner, branches, digests, side)
        return self._candidates[learner].assign(opponent_slots, rng, held, tolerance)

    def record(self, outcomes: Outcomes) -> None:
        """Count results. Self-play counts as matches and nowhere else: it says nothing about strength.

        Rows with the same opponent are one batch of the payoff. Those against snapshots that have left the pool count
        as matches only. ValueError if an opponent was never in the league; then nothing of `outcomes` is counted.
        """
        learner = outcomes.learner
        self._check(learner)
        players = self.learners.keys() | self._pool.keys()
        unknown = [name for name in set(outcomes.opponents) - players if not self._has_left(name)]
        if unknown:
            raise ValueError(f"results of {learner} against unknown players {sorted(unknown)}")
        self._invalidate_results()
        opponents, row = np.unique(np.array(outcomes.opponents, dtype=np.str_), return_inverse=True)
        results, scores = np.zeros((len(opponents), 3), np.int64), np.bincount(row, outcomes.scores, len(opponents))
        np.add.at(results, row, np.stack([outcomes.wins, outcomes.draws, outcomes.losses], axis=1))
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
        if isinstance(self.matchmaker, Adaptive):
            self.matchmaker.record(self.view, outcomes)

    def record_measured_pair(
        self, home: str, away: str, wins: float, draws: float, losses: float, score: float
    ) -> None:
        """Two snapshots were measured against each other, beside training: that takes the place of what is known.

        Counts of matches and the sum of the scores, as `home` saw them. Nothing happens if one has left the pool.
        """
        if home in self._pool and away in self._pool:
            self._invalidate_pool()
            self.payoff.replace(home, away, wins, draws, losses, score)
            self._measured.add((min(home, away), max(home, away)))

    def record_measured_lineup(self, players: Sequence[str], scores: Sequence[float]) -> None:
        """What each of these snapshots scored on average at matches of them all, beside training.

        It counts where the pool is played as a whole (meta-strategies). Nothing happens if one has left the pool.
        """
        if self._pool.keys() >= set(players):
            self._invalidate_pool()
            self._lineups.record(players, scores)

    def unmeasured_lineups(self, sides: int) -> list[tuple[str, ...]]:
        """The lineups of the pool, for matches of so many sides, that were not measured, those of older ones first."""
        return self._lineups.unmeasured(list(self._pool), sides)

    def unmeasured_pairs(self) -> list[tuple[str, str]]:
        """The pairs of the pool that may meet and were not `measured`, those of older snapshots first.

        In a league with a pool per side, who plays side 0 (a guest may) is the first of a pair.
        """
        pairs = []
        for number, (b, newer) in enumerate(self._pool.items()):
            for a, older in itertools.islice(self._pool.items(), number):
                if (min(a, b), max(a, b)) not in self._measured and (older.side is None or older.side != newer.side):
                    pairs.append((b, a) if newer.side == 0 or older.side == 1 else (a, b))
        return pairs

    def tick(self, progress: TrainingProgress, rng: np.random.Generator | None = None) -> list[Freeze]:
        """Who is to be frozen now, by the schedule, and what then. A question, asked once per iteration: it
        changes nothing but `rng` and what the schedule remembers.

        `rng` decides what is a matter of chance, which is only whether a league exploiter is reset.

        A learner without any snapshot is due at once, as AlphaStar's pool begins with the agent it started from:
        without a first opponent no win rate could ever make it due.
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
        """These, and no others, are the guests of the pool from now on: snapshots from elsewhere, which come first.

        Who was a guest already and is the same (by digest) keeps its record; who is not among them leaves the pool.
        ValueError if a guest goes by the name of a learner, as it is or as its snapshots show.
        """
        taken = self.learners.keys() | {s.player.lineage for s in self.snapshots if s.role != GUEST}
        if clash := [guest.lineage for guest in guests if guest.lineage in taken]:
            raise ValueError(f"the guest {clash[0]} goes by the name of a learner: give it another one")
        self._invalidate_pool()
        invited = {guest.snapshot.player.id: guest.snapshot for guest in guests}
        for player, snapshot in list(self._pool.items()):
            if snapshot.role == GUEST and (player not in invited or invited[player].digest != snapshot.digest):
                self._leave(player)
        self._pool = {**invited, **{player: s for player, s in self._pool.items() if player not in invited}}

    def next_snapshot(self, learner: str) -> Player:
        """The player that the learner becomes if it is frozen now."""
        self._check(learner)
        earlier = self.view.snapshots_of(learner)
        return Player(learner, (earlier[-1].player.generation or 0) + 1 if earlier else 0)

    def add_snapshot(self, learner: str, digest: str, agent_steps: int, reason: str) -> Snapshot:
        """Add the learner as it is now to the pool, as its next generation; the pool is thinned if it is full.

        The snapshot inherits the learner's record of the payoff; the learner's tally starts again. `digest` names the
        weights, which are to be stored before; `agent_steps` is what the learner has trained on.
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
        self.payoff.copy_row(learner, player.id)
        self._tallies[learner] = Tally()
        self.careers[learner].origin = digest
        if self._elo_origin is None and learner == next(iter(self.learners)):
            self._elo_origin = (player.id, 0.0)
        self.dropped = tuple(self._thin())
        return snapshot

    def reset(self, learner: str, to: str) -> None:
        """Note that the learner starts again with the weights of `to`: a snapshot of the pool, by id, or INITIAL.

        It takes over that snapshot's record, or has none; its tally starts again. ValueError for an unknown snapshot.
        """
        self._check(learner)
        self._invalidate_results()
        if to == INITIAL:
            self.payoff.drop(learner)
        elif to in self._pool:
            self.payoff.copy_row(to, learner)
        else:
            raise ValueError(f"{learner} cannot be reset to {to!r}: the pool has no such snapshot")
        self._tallies[learner] = Tally()
        career = self.careers[learner]
        career.resets += 1
        career.origin = None if to == INITIAL else self._pool[to].digest

    def _thin(self) -> Iterator[Drop]:
        """Let snapshots go until the pool is within its limit."""
        guests = {player for player, snapshot in self._pool.items() if snapshot.role == GUEST}
        while self.pool_limit is not None and len(self._pool) - len(guests) > self.pool_limit:
            view = self.view
            staying = guests | {line[-1].player.id for line in map(view.snapshots_of, self.learners) if line}
            drop = self.thinning.drop(view, staying)
            if drop.player not in self._pool or drop.player in staying:
                raise ValueError(f"{type(self.thinning).__name__} drops {drop.player}, which may not leave the pool")
            if self._elo_origin is not None and drop.player == self._elo_origin[0]:
                # The oldest snapshot of the lineage takes over, at the Elo it has now, so that ratings go on.
                lineage = Player.parse(drop.player).lineage
                others = [s.player for s in self.snapshots if s.player.id != drop.player]
                heir = next((player for player in others if player.lineage == lineage), others[0]).id
                self._elo_origin = (heir, self.ratings()[heir])
            self._leave(drop.player)
            yield drop

    def _leave(self, player: str) -> None:
        """A snapshot leaves the pool, and nothing of it stays."""
        self._invalidate_pool()
        del self._pool[player]
        self._measured = {pair for pair in self._measured if player not in pair}
        self._lineups.drop(player)
        self.payoff.drop(player)

    def ratings(self) -> dict[str, float]:
        """Elo ratings of all players from the payoff (see `ratings.bradley_terry`).

        Generation 0 of the first learner is 0, or that learner itself while it has no snapshots.
        """
        return dict(self.view.ratings())

    def bands(self, learner: str) -> dict[str, tuple[float, float]]:
        """The learner's win rate and effective games against the oldest, middle and newest third of whom it may meet.

        A learner that forgets shows here first: its win rate against the oldest falls. Guests, which have no age, and
        thirds without a snapshot are left out; 0.5 against a third without games.
        """
        self._check(learner)
        pool = [snapshot.player.id for snapshot in self.view.facing(learner) if snapshot.role != GUEST]
        games = self.payoff.games(learner, pool)
        points = self.payoff.win_rates(learner, pool) * games
        bands: dict[str, tuple[float, float]] = {}
        for name, third in zip(("oldest", "middle", "newest"), np.array_split(np.arange(len(pool)), 3), strict=True):
            if len(third):
                total = float(games[third].sum())
                bands[name] = (float(points[third].sum()) / total if total else 0.5, total)
        return bands

    def state_dict(self) -> dict[str, Any]:
        """Everything that a run changes, as JSON types. Settings (matchmaker, schedule, decay) are not part of it."""
        return {
            "version": STATE_VERSION,
            "learners": [asdict(learner) for learner in self.learners.values()],
            "snapshots": [{**vars(snapshot), "player": player} for player, snapshot in self._pool.items()],
            "tallies": {learner: asdict(tally) for learner, tally in self._tallies.items()},
            "matches": self.matches,  # for who reads a checkpoint; the careers have it by learner
            "careers": {learner: asdict(career) for learner, career in self.careers.items()},
            "zero": self._elo_origin,
            "measured": sorted(self._measured),
            "lineups": self._lineups.state_dict(),
            "payoff": self.payoff.state_dict(),
            "matchmaker": save_states([self.matchmaker]),
            "schedule": self.schedule.state_dict() if isinstance(self.schedule, StatefulSchedule) else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the league that was saved: with the same settings and rng it goes on exactly as that one would have.

        Learners of this league that the saved one had not begin without any record. Of those that only the saved one
        had, the snapshots stay in the pool. Raises ValueError for another version of the format.
        """
        if state["version"] != STATE_VERSION:
            raise ValueError(f"league state has version {state['version']!r}; this program reads {STATE_VERSION}")
        self._invalidate_pool()
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
        for retired in tallies.keys() - self.learners.keys():
            self.payoff.drop(retired)
        load_states([self.matchmaker], state["matchmaker"])
        if isinstance(self.schedule, StatefulSchedule) and state["schedule"] is not None:
            self.schedule.load_state_dict(state["schedule"])

    def mixture(self, side: int | None = None) -> Floats:
        """How the pool as a whole is played: probabilities [k] of `view.pool(side)`, for each of `view.sides`."""
        return self.view.mixture(self.meta_strategy, side)

    def _invalidate_results(self) -> None:
        """Discard what was computed from results. New dicts, so that a view made before keeps its own values."""
        self._candidates = {}
        self._ratings = {}

    def _invalidate_pool(self) -> None:
        """Discard what was computed from results or from the pool."""
        self._invalidate_results()
        self._mixtures = {}

    def _has_left(self, name: str) -> bool:
        """Whether this is a snapshot that was in the pool once, as far as is known of lineages that no longer train."""
        player = Player.parse(name)
        trains = player.lineage in self.learners
        was = player < self.next_snapshot(player.lineage) if trains else player.lineage in self.careers
        return player.is_snapshot and was

    def _check(self, learner: str) -> None:
        if learner not in self.learners:
            raise ValueError(f"the league has no learner {learner!r}; its learners are {list(self.learners)}")


def _check_sides(learners: Sequence[Learner]) -> None:
    """ValueError unless no learner has a side, or each has one; main agents, if there are any, are on both then."""
    sides = {learner.side for learner in learners}
    mains = {learner.side for learner in learners if learner.role == MAIN_AGENT}
    if sides != {None} and (None in sides or len(mains) == 1):
        raise ValueError(
            "learners.<name>.side must be null for all, or 0 for some and 1 for others, with a main agent on each; is "
            + ", ".join(f"{learner.side} for {learner.lineage}" for learner in learners)
        )
