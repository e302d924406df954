"""What was played in cross-play: every match with who sat where, and the payoff that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from marl_app.envs.batched import Bools, Floats, Ints
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.payoff import Floats as Doubles
from marl_app.league.payoff import wilson


@dataclass(frozen=True, eq=False)
class Batch:
    """M matches of a pair: the players (indices) on the sides, int64 [M, sides], and the sides' scores, float32.

    In each match one player is on one side alone and the other on all others; each is alone equally often.
    """

    seats: Ints
    scores: Floats


class CrossPlayResults:
    """The matches of `players`, and how often they score against one another.

    `zero`: the one, by index, whose Elo is 0. `mixed`: those that a meta-strategy mixes (None: everybody); the others
    are there to measure with. `sides`: the one that each plays, None: any (None: everybody any). If some play one side
    only, a meta-strategy mixes those of each side.
    """

    def __init__(
        self,
        players: Sequence[str],
        zero: int = 0,
        mixed: Sequence[int] | None = None,
        sides: Sequence[int | None] | None = None,
    ) -> None:
        self.players = tuple(players)
        self.zero = zero
        self.sides = (None,) * len(players) if sides is None else tuple(sides)
        self.mixed: Ints = np.arange(len(players)) if mixed is None else np.array(mixed, np.int64)
        size = (len(players), len(players))
        self.points: Doubles = np.zeros(size)  # of row against column
        self.games: Doubles = np.zeros(size)
        self.batches: list[Batch] = []

    def add_batch(self, first: int, second: int, batch: Batch) -> None:
        """Count matches between two players. With more than two sides it is the score of who is alone that counts."""
        own = batch.seats == first
        alone = np.where(own.sum(axis=1) == 1, own.argmax(axis=1), (~own).argmax(axis=1))
        rows = np.arange(len(alone))
        score = batch.scores[rows, alone].astype(np.float64)
        points = float(np.where(batch.seats[rows, alone] == first, score, 1.0 - score).sum())
        self.points[first, second] += points
        self.points[second, first] += len(alone) - points
        self.games[first, second] += len(alone)
        self.games[second, first] += len(alone)
        self.batches.append(batch)

    @property
    def played(self) -> int:
        """Matches in all."""
        return int(self.games.sum()) // 2

    @property
    def win_rates(self) -> Doubles:
        """Mean score of row against column, [n, n]; 0.5 where there are no games."""
        rates: Doubles = np.divide(self.points, self.games, out=np.full_like(self.points, 0.5), where=self.games > 0)
        return rates

    def mixture(self, strategy: MetaStrategy) -> Doubles:
        """How `strategy` mixes the players, [n]; NaN for those that it may not."""
        probabilities: Doubles = np.full(len(self.players), np.nan)
        first, second = (self.mixed[[self.sides[player] == side for player in self.mixed]] for side in (0, 1))
        if len(first) and len(second):
            for own, other in ((first, second), (second, first)):
                probabilities[own] = strategy.solve_side(self.win_rates[np.ix_(own, other)])
        elif len(self.mixed) and self.can_meet.all():
            probabilities[self.mixed] = strategy.solve(self.win_rates[np.ix_(self.mixed, self.mixed)])
        return probabilities

    @property
    def can_meet(self) -> Bools:
        """Which pairs can play each other, bool [n, n]: all but those that play the same one side."""
        sides = np.array([-1 - place if side is None else side for place, side in enumerate(self.sides)])
        apart: Bools = (sides[:, None] != sides) | (sides < 0)
        return apart

    @property
    def intervals(self) -> Doubles:
        """Their Wilson intervals, [n, n, 2]."""
        return wilson(self.win_rates, self.games)

    @property
    def side_scores(self) -> Doubles:
        """Mean score of each side over all matches, [sides]: all 0.5 where no side has an edge. NaN without matches."""
        if not self.batches:
            return np.full(1, np.nan)
        scores: Doubles = np.concatenate([batch.scores for batch in self.batches]).mean(axis=0, dtype=np.float64)
        return scores
