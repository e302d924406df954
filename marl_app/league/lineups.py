"""Lineups: the players of a match of more than two sides, and the mean score of each.

Between two sides, a payoff per pair of snapshots describes the game. With more sides, the score of a snapshot may
depend on all other players together, so the pool as a game is a table with an axis per side (Lanctot et al., 2017, "A
unified game-theoretic approach to multiagent reinforcement learning"). All sides draw from the same pool, and a score
is a mean over the assignments of players to sides; so a lineup is a multiset of players.

The scores of a lineup without a measurement are estimated from its pairs: each player scores the mean of its scores
against each of the others. A score is the share of the others that a player beats, so the estimate is exact unless the
result between two players depends on the rest of the lineup.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from marl_app.league.payoff import Float64s


class Lineups:
    """Mean scores of snapshots in the measured lineups, all of which have the same number of sides."""

    def __init__(self) -> None:
        self._scores: dict[tuple[str, ...], tuple[float, ...]] = {}  # by the sorted ids of the lineup

    def record(self, players: Sequence[str], scores: Sequence[float]) -> None:
        """Record the mean score of each of `players`; a player on several sides gets the mean over its sides."""
        lineup = tuple(sorted(players))
        same = np.array(players)[:, None] == np.array(lineup)  # [players as given, places of the lineup] bool
        means = np.asarray(scores, np.float64) @ same / same.sum(axis=0)
        self._scores[lineup] = tuple(means.tolist())

    def unmeasured(self, pool: Sequence[str], sides: int) -> list[tuple[str, ...]]:
        """Return the lineups of `sides` players without a measurement, those of the last players of the `pool` first.

        A player among copies of itself scores 0.5, so these lineups are left out.
        """
        # Each multiset appears once: with `last` as its newest player, and a multiset of players up to it as the rest.
        return [
            lineup
            for last in range(len(pool) - 1, 0, -1)
            for others in itertools.combinations_with_replacement(pool[: last + 1], sides - 1)
            if others != (pool[last],) * (sides - 1)
            and (lineup := tuple(sorted((*others, pool[last])))) not in self._scores
        ]

    def drop(self, player: str) -> None:
        """Remove the lineups that contain this player."""
        self._scores = {lineup: scores for lineup, scores in self._scores.items() if player not in lineup}

    def game(self, pool: Sequence[str], pairs: Float64s) -> Float64s:
        """Return the pool as a game: mean scores [n, ..., n] of the first axis' player among those of the other axes.

        `pairs`, the payoff [n, n] of the pool, provides the estimates for lineups without a measurement; it is returned
        unchanged if no lineup was measured.
        """
        index = {player: number for number, player in enumerate(pool)}
        lineups = [lineup for lineup in self._scores if all(player in index for player in lineup)]
        if not lineups:
            return pairs
        sides, size = len(lineups[0]), len(pool)
        # The estimate from pairs: pairs[i, j] is broadcast along axis 0 and the axis of each other side, and averaged.
        table = np.zeros((size,) * sides)
        for axis in range(1, sides):
            table += pairs.reshape(size, *(size if other == axis else 1 for other in range(1, sides))) / (sides - 1)
        # Measured lineups replace the estimates, in every order of their players on the axes.
        seats = np.array([[index[player] for player in lineup] for lineup in lineups])  # [lineups, sides]
        scores = np.array([self._scores[lineup] for lineup in lineups])
        for order in itertools.permutations(range(sides)):
            table[tuple(seats[:, order].T)] = scores[:, order[0]]
        return table

    def state_dict(self) -> list[Any]:
        """Return all measurements as JSON types."""
        return [[list(lineup), list(scores)] for lineup, scores in self._scores.items()]

    def load_state_dict(self, state: list[Any]) -> None:
        """Replace all measurements."""
        self._scores = {tuple(lineup): tuple(scores) for lineup, scores in state}
