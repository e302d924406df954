"""Results of cross-play: every match with its players and scores, and the payoff table that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from marl_app.envs.batched import Bools, Float32s, Ints
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.payoff import Float64s, wilson


@dataclass(frozen=True, eq=False)
class Batch:
    """M matches of a pair of players.

    seats: int64 [M, sides], the index of the player on each side. scores: float32 [M, sides] in [0, 1].
    half: int64 [M], 0 or 1. Matches of one half have independent random numbers; the two halves may share theirs. None:
        all matches are independent.
    In each match one player plays a single side and the other player all other sides; both roles are equally frequent.
    """

    seats: Ints
    scores: Float32s
    half: Ints | None = None

    def scores_of(self, first: int) -> Float64s:
        """Return the scores of player `first`, float64 [M]; NaN for matches in which the single side took no part.

        With more than two sides only the score of the single side counts.
        """
        is_first = self.seats == first  # [M, sides] bool
        # [M] the single side: the side of `first` if it plays only one, else the only side of the other player. With
        # two sides it is always the side of `first`.
        alone = np.where(is_first.sum(axis=1) == 1, is_first.argmax(axis=1), (~is_first).argmax(axis=1))
        rows = np.arange(len(alone))
        score = self.scores[rows, alone].astype(np.float64)
        # Where the other player plays the single side, `first` gets 1 - its score.
        scores: Float64s = np.where(is_first[rows, alone], score, 1.0 - score)
        return scores


class CrossPlayResults:
    """The matches between `players` and their payoff table; n is the number of players.

    zero: index of the player whose Elo is 0.
    mixed: indices of the players that a meta-strategy may mix, None for all; the others (anchors) only measure.
    sides: for each player the only side that it can play, or None for any side; None if all can play any side. If some
        play one side only, a meta-strategy mixes the players of each side separately.
    points, games: float64 [n, n], the summed scores of row against column, and the numbers of matches.
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
        self.points: Float64s = np.zeros(size)
        self.games: Float64s = np.zeros(size)
        self.batches: list[Batch] = []

    def add_batch(self, first: int, second: int, batch: Batch) -> None:
        """Add a batch of matches between two players."""
        scores = batch.scores_of(first)
        points, games = float(np.nansum(scores)), int((~np.isnan(scores)).sum())
        self.points[first, second] += points
        self.points[second, first] += games - points
        self.games[first, second] += games
        self.games[second, first] += games
        self.batches.append(batch)

    @property
    def played(self) -> int:
        """Number of matches of all pairs."""
        return int(self.games.sum()) // 2

    @property
    def win_rates(self) -> Float64s:
        """Mean score of row against column, [n, n]; 0.5 without games."""
        rates: Float64s = np.divide(self.points, self.games, out=np.full_like(self.points, 0.5), where=self.games > 0)
        return rates

    def mixture(self, strategy: MetaStrategy) -> Float64s:
        """Return the probabilities [n] with which `strategy` mixes the players; NaN for players that may not be mixed.

        If some players play one side only, both sides must have players, else all probabilities are NaN.
        """
        probabilities: Float64s = np.full(len(self.players), np.nan)
        # If players of either side exist, the game has two populations, each mixed against the other.
        first, second = (self.mixed[[self.sides[player] == side for player in self.mixed]] for side in (0, 1))
        if len(first) and len(second):
            for rows, columns in ((first, second), (second, first)):
                probabilities[rows] = strategy.solve_side(self.win_rates[np.ix_(rows, columns)])
        elif len(self.mixed) and self.can_meet.all():
            probabilities[self.mixed] = strategy.solve(self.win_rates[np.ix_(self.mixed, self.mixed)])
        return probabilities

    @property
    def can_meet(self) -> Bools:
        """Pairs that can play each other, bool [n, n]: all but two players of the same single side."""
        # A player of any side gets a unique negative number, so that it equals no other player.
        sides = np.array([-1 - place if side is None else side for place, side in enumerate(self.sides)])
        apart: Bools = (sides[:, None] != sides) | (sides < 0)
        return apart

    @property
    def intervals(self) -> Float64s:
        """95 % Wilson intervals of `win_rates`: lower and upper end, [n, n, 2]."""
        # Scores between 0 and 1, such as draws, vary less than wins and losses, so the interval is conservative.
        return wilson(self.win_rates, self.games)

    @property
    def side_scores(self) -> Float64s:
        """Mean score of each side over all matches, [sides]; 0.5 where a side has no advantage, NaN without matches."""
        if not self.batches:
            return np.full(1, np.nan)
        scores: Float64s = np.nanmean(
            np.concatenate([batch.scores for batch in self.batches]), axis=0, dtype=np.float64
        )
        return scores
