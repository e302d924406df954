"""Cross-play: matches between all pairs of a set of players, with swapped sides and common random numbers.

Every pair plays one batch; all further batches go to the pair that `next_pair` expects to be the most informative. The
k-th batch of every pair uses the same seeds, and so do the two halves of a batch, in which the sides are swapped: a
player and a copy of it score exactly 0.5 against each other.

With more than two sides one player of the pair plays a single side and the other player all other sides; both roles
and all sides come in turn. The score of the single side counts: the share of the other sides that it beats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import numpy as np

from marl_app.envs.batched import MakeEnv
from marl_app.evaluation.next_pair import next_pair
from marl_app.evaluation.play import play_matches
from marl_app.evaluation.results import Batch, CrossPlayResults
from marl_app.players.policy import Follower, Policy

PlayPair = Callable[[int, int, int], Batch]
"""(index of the first player, of the second, number of the batch between them) -> the matches of that batch."""


def cross_play(results: CrossPlayResults, play: PlayPair, batch: int, games: int) -> Iterator[tuple[int, int]]:
    """Play at least `games` matches, rounded up to whole batches of `batch`, and add them to `results`.

    Yields each pair after its batch was added, so that a caller that stops early loses no matches.
    """
    while results.played < games:
        first, second = next_pair(results, batch)
        number = round(results.games[first, second] / batch)  # batches that this pair has played
        results.add_batch(first, second, play(first, second, number))
        yield first, second


def seatings(sides: int) -> int:
    """Return the number of ways in which a pair can be seated; batches are multiples of it.

    With two sides a pair and its swap; with n > 2 sides the single side (n) times which player plays it (2).
    """
    return 2 if sides == 2 else 2 * sides


class Matches:
    """A `PlayPair` that plays batches of `batch` matches between `players`. Call `close` in the end.

    The result of a batch depends on `seed`, the two players and the batch number only, not on earlier batches.
    `sides`: for each player the only side that it can play, or None for any side; None if all can play any side. If a
    pair can be seated in one way only, both halves of a batch use that way, with different seeds.
    Raises ValueError if the environment has one side or `batch` is not a multiple of the seatings.
    """

    def __init__(
        self,
        make_env: MakeEnv,
        players: Sequence[Policy | Follower],
        batch: int,
        seed: int,
        *,
        greedy: bool,
        sides: Sequence[int | None] | None = None,
    ) -> None:
        with closing(make_env(1)) as env:
            self._sides = len(env.sides)
        if self._sides < 2:
            raise ValueError("the environment has one side, so a player has no opponent")
        if batch < 1 or batch % seatings(self._sides):
            raise ValueError(f"batch={batch} must be a multiple of {seatings(self._sides)}, the ways to seat a pair")
        self._players = players
        self._seed = seed
        self._greedy = greedy
        self._only_sides = sides
        self._env = make_env(batch // seatings(self._sides))

    def __call__(self, first: int, second: int, number: int) -> Batch:
        """Play batch `number` of the pair: one run of the environment per side and half."""
        seats, scores, halves = [], [], []
        # (player on the single side, player on all others), as far as both can play there
        ways = [way for way in ((first, second), (second, first)) if self._fits(*way)]
        # With two sides the swap already puts both players on side 0.
        for side in range(1 if self._sides == 2 else self._sides):
            for half in range(2):
                alone, others = ways[half % len(ways)]
                # [matches, sides] index into `pair`: 0 on the single side, 1 elsewhere
                place = np.ones((self._env.num_matches, self._sides), np.int64)
                place[:, side] = 0
                # Common random numbers: no player and, if the sides are swapped, no half is part of the seed.
                rng = np.random.default_rng((self._seed, number, side, *([half] if len(ways) == 1 else [])))
                pair = (self._players[alone], self._players[others])
                scores.append(play_matches(self._env, pair, place, rng, greedy=self._greedy))
                seats.append(np.where(place == 0, alone, others))
                halves.append(np.full(len(place), half if len(ways) > 1 else 0))  # 0: these seeds are not shared
        return Batch(np.concatenate(seats), np.concatenate(scores), np.concatenate(halves))

    def _fits(self, first: int, second: int) -> bool:
        """Return whether the first player can play side 0 and the second side 1."""
        if self._only_sides is None:
            return True
        return self._only_sides[first] in (None, 0) and self._only_sides[second] in (None, 1)

    def close(self) -> None:
        """Release the environment."""
        self._env.close()
