"""Lineups: who sits on the sides of a match of more than two, and what each of them scores there.

Between two sides a payoff per pair of snapshots says all. With more, how well a snapshot does may depend on all the
others at once, so the pool as a game is a table with an axis per side (Lanctot et al., 2017, "A unified game-theoretic
approach to multiagent reinforcement learning"). All sides draw from the same pool, and a score is a mean over who sits
where; so a lineup is a set in which a player may be more than once.

A lineup that was not measured is taken for what its pairs say: who sits there scores the mean of what it scores against
each of the others. The share of the others that one beats is just that mean, so it is right unless who beats whom
depends on who else is there.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from marl_app.league.payoff import Floats


class Lineups:
    """Mean scores of snapshots in the lineups that were measured; all of them have the same number of sides."""

    def __init__(self) -> None:
        self._scores: dict[tuple[str, ...], tuple[float, ...]] = {}  # by ids, sorted

    def record(self, players: Sequence[str], scores: Sequence[float]) -> None:
        """What each of `players` scored on average; who is there more than once, on the mean of its sides."""
        lineup = tuple(sorted(players))
        of = np.array(players)[:, None] == np.array(lineup)  # [measured, place in the lineup]
        means = np.asarray(scores, np.float64) @ of / of.sum(axis=0)
        self._scores[lineup] = tuple(means.tolist())

    def unmeasured(self, pool: Sequence[str], sides: int) -> list[tuple[str, ...]]:
        """The lineups of so many sides that were not measured, those of the first of the `pool` first.

        A player among copies of itself scores 0.5, so there is nothing to measure.
        """
        return [
            lineup
            for last in range(1, len(pool))
            for others in itertools.combinations_with_replacement(pool[: last + 1], sides - 1)
            if others != (pool[last],) * (sides - 1)
            and (lineup := tuple(sorted((*others, pool[last])))) not in self._scores
        ]

    def drop(self, player: str) -> None:
        """Forget the lineups that this player is in."""
        self._scores = {lineup: scores for lineup, scores in self._scores.items() if player not in lineup}

    def game(self, pool: Sequence[str], pairs: Floats) -> Floats:
        """The pool as a game: mean scores [n, ..., n], an axis per side, of the first axis' player among the others.

        `pairs`, its payoff [n, n], fills in for lineups that were not measured, and is all there is if none was.
        """
        place = {player: index for index, player in enumerate(pool)}
        lineups = [lineup for lineup in self._scores if all(player in place for player in lineup)]
        if not lineups:
            return pairs
        sides, size = len(lineups[0]), len(pool)
        table = np.zeros((size,) * sides)
        for axis in range(1, sides):
            table += pairs.reshape(size, *(size if other == axis else 1 for other in range(1, sides))) / (sides - 1)
        seats = np.array([[place[player] for player in lineup] for lineup in lineups])
        scores = np.array([self._scores[lineup] for lineup in lineups])
        for order in itertools.permutations(range(sides)):
            table[tuple(seats[:, order].T)] = scores[:, order[0]]
        return table

    def state_dict(self) -> list[Any]:
        """JSON types only."""
        return [[list(lineup), list(scores)] for lineup, scores in self._scores.items()]

    def load_state_dict(self, state: list[Any]) -> None:
        """Replace everything."""
        self._scores = {tuple(lineup): tuple(scores) for lineup, scores in state}
