"""The snapshot that the pool's Nash mixture needs least leaves, judged by its results instead of its age.

Balduzzi et al. (2018), "Re-evaluating evaluation": copies and players that are useless against all others do not change
a Nash mixture. So a snapshot may leave if the rest of the pool is as hard to exploit without it (`cost`); of these,
first a snapshot whose record against the pool nearly equals another's, or is nowhere better than another's. Weak
players leave early; if the learner then forgets how to beat them, use `stride`.

The records are estimates: pairs that never met count with a score of 0.5, and costs within `tolerance` count as equal.
"""

from __future__ import annotations

from collections.abc import Collection
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from marl_app.league.meta.meta import advantages, side_advantages
from marl_app.league.meta.nash import Nash
from marl_app.league.payoff import Float64s
from marl_app.league.thinning.thinning import Drop
from marl_app.league.view import LeagueView

SUPPORT_THRESHOLD = 1e-6  # smaller probabilities count as 0
MAX_COSTS = 8  # members of the mixture, those most similar to others, whose cost is computed by a linear program each


class MetaThinning:
    """The snapshot of lowest cost; of equal ones a copy or dominated snapshot, then the most similar, then the oldest.

    Two snapshots are copies if their mean scores differ by at most `tolerance` on average. A hundred snapshots take at
    most about 0.3 s, two hundred 2 s.
    """

    def __init__(self, tolerance: float) -> None:
        if not 0 <= tolerance < 0.5:
            raise ValueError(f"tolerance must be in [0, 0.5), not {tolerance}")
        self.tolerance = tolerance

    def drop(self, view: LeagueView, protected: Collection[str]) -> Drop:
        _, drop = min(
            (choice for side in view.sides for choice in self._cheapest(view, side, protected)), key=itemgetter(0)
        )
        return drop

    def _cheapest(
        self, view: LeagueView, side: int | None, protected: Collection[str]
    ) -> list[tuple[tuple[float, ...], Drop]]:
        """Return the snapshot that the pool of a side needs least, with its rank; empty if all are protected."""
        pool = [snapshot.player.id for snapshot in view.pool(side)]
        free = [index for index, player in enumerate(pool) if player not in protected]
        if not free:
            return []
        # advantage [m, n] of the pool over its opponents: itself, or the pool of the other side.
        if side is None:
            advantage = advantages(view.payoff.matrix(pool))
            mixture = Nash().solve(0.5 + advantage)
        else:
            others = [snapshot.player.id for snapshot in view.pool(1 - side)]
            advantage = side_advantages(view.payoff.matrix(pool, others))
            mixture = Nash().solve_side(0.5 + advantage)
        distance = distances(advantage)  # [m] to the most similar other record
        redundant = (distance <= self.tolerance) | dominated(advantage)
        # Snapshots outside of the mixture cost nothing. Of the others only the most similar are considered.
        support = sorted((i for i in free if mixture[i] > SUPPORT_THRESHOLD), key=lambda i: float(distance[i]))
        costs = {i: 0.0 for i in free if mixture[i] <= SUPPORT_THRESHOLD}
        costs |= {i: exploitability_without(advantage, mixture, i) for i in support[:MAX_COSTS]}
        ranks = {i: (max(costs[i], self.tolerance), not redundant[i], float(distance[i]), i) for i in costs}
        index = min(ranks, key=lambda i: ranks[i])
        if distance[index] <= self.tolerance:
            reason = "nearly a copy of another"
        elif redundant[index]:
            reason = "another does as well against all players"
        else:
            reason = "the Nash mixture of the pool needs it least"
        text = f"{reason}; exploitability of the pool {costs[index]:+.3f}"
        return [(ranks[index], Drop(pool[index], text, costs[index]))]


def exploitability_without(advantage: Float64s, mixture: Float64s, player: int) -> float:
    """Return the exploitability of the Nash mixture of a pool [m] without `player`, minus that of `mixture`; >= 0.

    `advantage` [m, n] is that of the pool over its opponents, which are the pool itself if it is antisymmetric; m >= 2.
    At most 0.5; 0 if a Nash mixture of the whole pool does not contain the player, as it is also a mixture of the rest.
    """
    # The opponents still include the player: they are those of the whole pool.
    rest = np.delete(np.arange(len(advantage)), player)
    # An antisymmetric payoff is that of one pool, which loses the player on both axes.
    if advantage.shape == advantage.T.shape and np.array_equal(advantage, -advantage.T):
        without = Nash().solve(0.5 + advantage[np.ix_(rest, rest)])
    else:
        without = Nash().solve_side(0.5 + advantage[rest])
    return max(0.0, float((mixture @ advantage).min() - (without @ advantage[rest]).min()))


def distances(advantage: Float64s) -> Float64s:
    """Return the mean absolute difference [m] in score between each record and the most similar other record."""
    pairwise = cdist(advantage, advantage, "cityblock") / advantage.shape[1]  # [m, m]
    np.fill_diagonal(pairwise, np.inf)
    nearest: Float64s = pairwise.min(axis=1)
    return nearest


def dominated(advantage: Float64s) -> NDArray[np.bool_]:
    """Return bool [m]: True where another player does at least as well against all opponents and better against any."""
    return np.array([((advantage >= row).all(axis=1) & (advantage > row).any(axis=1)).any() for row in advantage])
