"""Who plays whom on one env runner: opponents dealt to matches as they start, results counted as they end.

A match keeps its opponents from its first move to its last. When a new assignment arrives, matches that are under way
go on against whom they began with; a slot is refilled when the last of its matches has ended.

With more than two sides each of the others has an opponent of its own. The assignment's shares say who is the first of
them; the rest are drawn, each by itself, among those that the same rule picked. So self-play is a match against oneself
on all sides, and a mixture is met as a mixture on each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marl_app.envs.batched import BatchedEnv
from marl_app.league.assignment import Assignment, Opponent
from marl_app.league.outcomes import Outcomes
from marl_app.rllib.sampling.opponent_slots import OpponentSlots
from marl_app.store.reader import FETCH_ERRORS

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

TRAINEE = -1
"""In place of a slot: the trainee itself plays the seat."""
NO_SLOT_FREE = "no_slot_free"
"""The rule of matches against oneself that start while every slot still drains."""


class Matchups:
    """The B matches of an env runner, and who plays each side of them.

    `slots[b, s]`: the slot of the opponent on side s of match b, or TRAINEE; `sides[b]`: the side of the trainee (0 if
    it plays all).
    """

    def __init__(self, env: BatchedEnv, opponents: OpponentSlots) -> None:
        self._held = opponents
        self._num_sides = len(env.sides)
        self._side_of = np.empty(len(env.agents), np.int64)
        for side, agents in enumerate(env.sides):
            self._side_of[list(agents)] = side
        self._openings = env.openings
        self.slots: Ints = np.full((env.num_matches, self._num_sides), TRAINEE)
        self.sides: Ints = np.zeros(env.num_matches, np.int64)
        self.lengths: Ints = np.zeros(env.num_matches, np.int64)
        self._opening_moves: Ints = np.zeros(env.num_matches, np.int64)
        self._opponents: list[Opponent] = []  # everybody that a match under way is against
        # Indices into it: of who plays the side after the trainee's, and the one after that, [B, sides - 1].
        self._opponent: Ints = np.zeros((env.num_matches, self._num_sides - 1), np.int64)
        self._dealt: list[int] = []  # those of the current assignment
        self._shares: NDArray[np.float64] = np.zeros(0)
        self._ended: list[Ints] = []  # rows (opponent, side, result, length)
        self._scores: list[Floats] = []  # and what each scored

    def assign(self, assignment: Assignment) -> None:
        """Deal these opponents to the matches that start from now on."""
        self._learner = assignment.learner
        self._dealt = list(range(len(self._opponents), len(self._opponents) + len(assignment.opponents)))
        self._shares = assignment.shares
        self._side = assignment.side
        self._opponents += assignment.opponents
        self._admit()

    def waiting(self) -> list[str]:
        """The digests of the assignment's opponents that are in no slot yet."""
        digests = (self._opponents[index].digest for index in self._dealt)
        return [digest for digest in digests if digest is not None and self._held.slot_of(digest) is None]

    def _admit(self) -> None:
        """Load the assignment's opponents into slots that nobody needs."""
        wanted = {key for index in self._dealt if (key := self._key(self._opponents[index])) is not None}
        waiting = [key for key in sorted(wanted) if self._held.slot_of(key) is None]
        if not waiting:
            return
        in_use = np.bincount(self.slots[self.slots >= 0], minlength=len(self._held.players)) > 0
        free = [slot for slot, key in enumerate(self._held.players) if not in_use[slot] and key not in wanted]
        for slot, key in zip(free, waiting, strict=False):
            try:
                self._held.load(slot, key)
            except FETCH_ERRORS:  # the reader has said so, and asks again later; others play on
                continue

    def start(self, matches: Ints, rng: np.random.Generator) -> None:
        """Deal opponents, a side and an opening to matches that begin."""
        self.lengths[matches] = 0
        self.slots[matches] = TRAINEE
        self._admit()
        slots = [self._slot_of(self._opponents[index]) for index in self._dealt]
        ready = [place for place, slot in enumerate(slots) if slot is not None]
        playing = np.full((len(matches), self._num_sides - 1), TRAINEE)
        if not ready:
            self._opponents.append(Opponent(self._learner, None, NO_SLOT_FREE, 0.5, 0.0))
            self._opponent[matches] = len(self._opponents) - 1
        else:
            dealt = self._lineups(ready, len(matches), rng)
            self._opponent[matches] = np.array(self._dealt)[dealt]
            playing = np.array([TRAINEE if slot is None else slot for slot in slots])[dealt]
        if self._side is None:
            any_side = rng.integers(self._num_sides, size=len(matches))
            self.sides[matches] = np.where((playing == TRAINEE).all(axis=1), 0, any_side)
        else:
            self.sides[matches] = self._side
        self.slots[matches[:, None], self._other_sides(matches)] = playing
        if self._openings is not None:
            opened = rng.random(len(matches)) < self._openings.probability
            moves = rng.integers(self._openings.low, self._openings.high + 1, size=len(matches))
            self._opening_moves[matches] = np.where(opened, moves, 0)

    def _lineups(self, ready: list[int], count: int, rng: np.random.Generator) -> Ints:
        """Of the assignment's opponents those on the other sides of so many matches, among those that are `ready`."""
        shares = self._shares[ready] / self._shares[ready].sum()
        first = rng.choice(len(ready), count, p=shares)
        lineups = np.tile(first[:, None], self._num_sides - 1)
        if self._num_sides > 2:
            rules = np.array([self._opponents[self._dealt[place]].rule for place in ready])
            for rule in np.unique(rules):
                those, matches = np.flatnonzero(rules == rule), np.flatnonzero(rules[first] == rule)
                chances = shares[those] / shares[those].sum()
                lineups[matches, 1:] = rng.choice(those, (len(matches), self._num_sides - 2), p=chances)
        return np.array(ready)[lineups]

    def _other_sides(self, matches: Ints) -> Ints:
        """The sides that are not the trainee's (in self-play not 0), from the next one on: int64 [R, sides - 1]."""
        return (self.sides[matches, None] + np.arange(1, self._num_sides)) % self._num_sides

    def _key(self, opponent: Opponent) -> str | None:
        """By what the slots know this player; None: it is the trainee itself."""
        return None if opponent.player == self._learner else opponent.digest or opponent.player

    def _slot_of(self, opponent: Opponent) -> int | None:
        key = self._key(opponent)
        return TRAINEE if key is None else self._held.slot_of(key)

    def players(self, matches: Ints, agents: Ints) -> Ints:
        """Who decides for the given agents: a slot, or TRAINEE. int64 [R]."""
        return self.slots[matches, self._side_of[agents]]

    def opening(self, matches: Ints) -> Bools:
        """Which of the matches are still in their random opening. bool [R]."""
        return self.lengths[matches] < self._opening_moves[matches]

    def end(self, matches: Ints, scores: Floats) -> None:
        """Count the results of matches that have ended; `scores` float32 [K, sides].

        A match that ended within its random opening was nobody's work and is not counted.
        """
        played = self.lengths[matches] > self._opening_moves[matches]
        matches, scores = matches[played], scores[played]
        if self._num_sides == 1 or not len(matches):
            return
        own = np.take_along_axis(scores, self.sides[matches, None], axis=1)
        if self._num_sides > 2:  # who of the two was placed higher: the more sides one beats, the higher its score
            own = (1 + np.sign((own - np.take_along_axis(scores, self._other_sides(matches), axis=1)).round(5))) / 2
        score = own.ravel()
        result = np.where(score > 0.5 + 1e-6, 0, np.where(score < 0.5 - 1e-6, 2, 1))  # win, draw, loss
        sides, lengths = (np.repeat(each[matches], self._num_sides - 1) for each in (self.sides, self.lengths))
        self._ended.append(np.stack([self._opponent[matches].ravel(), sides, result, lengths]))
        self._scores.append(score)

    def take_outcomes(self) -> tuple[Outcomes, tuple[Opponent, ...]]:
        """Results since the last call, and the opponent (with the reason for the choice) of each of their rows."""
        ended = np.concatenate(self._ended, axis=1) if self._ended else np.zeros((4, 0), np.int64)
        scores = np.concatenate(self._scores) if self._scores else np.zeros(0)
        self._ended, self._scores = [], []
        keys, row = np.unique(ended[0] * self._num_sides + ended[1], return_inverse=True)
        results = np.zeros((len(keys), 3), np.int64)
        np.add.at(results, (row, ended[2]), 1)
        steps = np.bincount(row, ended[3], len(keys)).astype(np.int64)
        opponents = tuple(self._opponents[key // self._num_sides] for key in keys)
        outcomes = Outcomes(
            learner=self._learner,
            opponents=tuple(opponent.player for opponent in opponents),
            rules=tuple(opponent.rule for opponent in opponents),
            sides=keys % self._num_sides,
            wins=results[:, 0],
            draws=results[:, 1],
            losses=results[:, 2],
            steps=steps,
            scores=np.bincount(row, scores, len(keys)).astype(np.float64),
            opposing_sides=max(1, self._num_sides - 1),
        )
        self._forget()
        return outcomes, opponents

    def _forget(self) -> None:
        """Drop the opponents that no match is against any more."""
        used = np.union1d(self._opponent, np.array(self._dealt, np.int64)).astype(np.int64)
        used = used[used < len(self._opponents)]
        self._opponents = [self._opponents[index] for index in used]
        self._opponent = np.searchsorted(used, self._opponent)
        self._dealt = np.searchsorted(used, self._dealt).tolist()
