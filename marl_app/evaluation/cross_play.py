"""Cross-play: every pair of a set of players, sides swapped, common seeds, where a match tells most.

Every pair plays one batch; the rest of the matches goes, batch by batch, to the pair that `next_pair` names. The k-th
batch of every pair starts from the same seeds, and so do the two halves of a batch, in which the sides are swapped: a
player and its copy score 0.5 against each other exactly.

With more than two sides a player sits on one side alone and the other on all others, on each side in turn, and the
reverse. What counts is the score of who is alone: the share of the other sides that it beats.
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
"""(first player, second player, number of their batch) -> its matches."""


def cross_play(results: CrossPlayResults, play: PlayPair, batch: int, games: int) -> Iterator[tuple[int, int]]:
    """Play `games` matches or the few more that fill the last batch of `batch`, and add them to `results`.

    Yields each pair after its batch has been counted, so that whoever stops in between loses nothing.
    """
    while results.played < games:
        first, second = next_pair(results, batch)
        number = round(results.games[first, second] / batch)
        results.add_batch(first, second, play(first, second, number))
        yield first, second


def seatings(sides: int) -> int:
    """In how many ways a pair can be seated: a batch is a multiple of it."""
    return 2 if sides == 2 else 2 * sides


class Matches:
    """Plays batches of `batch` matches between `players` (a `PlayPair`). Close it in the end.

    The result of a batch depends on `seed`, its two players and its number, and on nothing that was played before.
    `sides`: the one that each player plays, None: any (None: everybody any). Of a pair that can be seated in one way
    only, both halves of a batch are so, from different seeds.
    Raises ValueError if there is only one side or `batch` is no multiple of the seatings.
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
            raise ValueError("the environment has one side, so there is nobody to play against")
        if batch < 1 or batch % seatings(self._sides):
            raise ValueError(f"batch={batch} must be a multiple of {seatings(self._sides)}, the ways to seat a pair")
        self._players = players
        self._seed = seed
        self._greedy = greedy
        self._own = sides
        self._env = make_env(batch // seatings(self._sides))

    def __call__(self, first: int, second: int, number: int) -> Batch:
        seats, scores = [], []
        ways = [way for way in ((first, second), (second, first)) if self._fits(*way)]
        for side in range(1 if self._sides == 2 else self._sides):
            for half in range(2):
                alone, others = ways[half % len(ways)]
                place = np.ones((self._env.num_matches, self._sides), np.int64)
                place[:, side] = 0
                rng = np.random.default_rng((self._seed, number, side, *([half] if len(ways) == 1 else [])))
                pair = (self._players[alone], self._players[others])
                scores.append(play_matches(self._env, pair, place, rng, greedy=self._greedy))
                seats.append(np.where(place == 0, alone, others))
        return Batch(np.concatenate(seats), np.concatenate(scores))

    def _fits(self, first: int, second: int) -> bool:
        """Whether the first player can play side 0 and the second side 1."""
        return self._own is None or (self._own[first] in (None, 0) and self._own[second] in (None, 1))

    def close(self) -> None:
        """Release the environment."""
        self._env.close()
