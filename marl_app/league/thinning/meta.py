"""Who is missed least by the pool's Nash mixture leaves: by what it can do, not by its age.

Balduzzi et al. (2018), "Re-evaluating evaluation": a Nash mixture does not care about copies and about who is no use
against anybody. So a snapshot may go without which the rest is as hard to exploit as before (`cost`), and of these
first the one whose record against the pool is nearly a copy of another's, or nowhere better than another's. Weak
players go early; where a learner would forget how to beat them, `stride` serves it better.

The records are estimates: scores of 0.5 stand for pairs that never met, and costs within `tolerance` are taken for
equal.
"""

from __future__ import annotations

from collections.abc import Collection
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from marl_app.league.meta.meta import advantages, side_advantages
from marl_app.league.meta.nash import Nash
from marl_app.league.payoff import Floats
from marl_app.league.thinning.thinning import Drop
from marl_app.league.view import LeagueView

SUPPORT = 1e-6  # a smaller probability is none
TRIED = 8  # members of the mixture, those most like others, whose cost is worked out; it takes a linear program each


class MetaThinning:
    """The cheapest snapshot, then a copy or a dominated one, then the one most like another, then the oldest.

    Mean scores that differ by at most `tolerance` on average make a copy. A hundred snapshots take about 0.3 s at most,
    two hundred 2 s.
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
        """Whom the pool of a side misses least, with what it is ranked by; nobody if all are protected."""
        pool = [snapshot.player.id for snapshot in view.pool(side)]
        free = [index for index, player in enumerate(pool) if player not in protected]
        if not free:
            return []
        if side is None:
            advantage = advantages(view.payoff.matrix(pool))
            mixture = Nash().solve(0.5 + advantage)
        else:
            others = [snapshot.player.id for snapshot in view.pool(1 - side)]
            advantage = side_advantages(view.payoff.matrix(pool, others))
            mixture = Nash().solve_side(0.5 + advantage)
        distance = distances(advantage)
        redundant = (distance <= self.tolerance) | dominated(advantage)
        needed = sorted((i for i in free if mixture[i] > SUPPORT), key=lambda i: float(distance[i]))
        costs = {i: 0.0 for i in free if mixture[i] <= SUPPORT}
        costs |= {i: exploitability_without(advantage, mixture, i) for i in needed[:TRIED]}
        ranks = {i: (max(costs[i], self.tolerance), not redundant[i], float(distance[i]), i) for i in costs}
        index = min(ranks, key=lambda i: ranks[i])
        if distance[index] <= self.tolerance:
            reason = "nearly a copy of another"
        elif redundant[index]:
            reason = "another one does as well against everybody"
        else:
            reason = "the Nash mixture of the pool needs it least"
        text = f"{reason}; exploitability of the pool {costs[index]:+.3f}"
        return [(ranks[index], Drop(pool[index], text, costs[index]))]


def exploitability_without(advantage: Floats, mixture: Floats, player: int) -> float:
    """How much more the best opponent gains on the Nash mixture of all but one of a pool [m] than on its own `mixture`.

    `advantage` [m, n] of the pool over its opponents, which are the pool itself if it is antisymmetric; m >= 2. In
    [0, 0.5]; 0 if a Nash mixture of the whole pool does not need that one: then it is also one of the rest.
    """
    rest = np.delete(np.arange(len(advantage)), player)
    if advantage.shape == advantage.T.shape and np.array_equal(advantage, -advantage.T):
        without = Nash().solve(0.5 + advantage[np.ix_(rest, rest)])
    else:
        without = Nash().solve_side(0.5 + advantage[rest])
    return max(0.0, float((mixture @ advantage).min() - (without @ advantage[rest]).min()))


def distances(advantage: Floats) -> Floats:
    """The mean difference in score of each player's record to the most similar other one's, [m]."""
    apart = cdist(advantage, advantage, "cityblock") / advantage.shape[1]
    np.fill_diagonal(apart, np.inf)
    nearest: Floats = apart.min(axis=1)
    return nearest


def dominated(advantage: Floats) -> NDArray[np.bool_]:
    """Whether somebody else does at least as well against everybody, and better against somebody; bool [m]."""
    return np.array([((advantage >= own).all(axis=1) & (advantage > own).any(axis=1)).any() for own in advantage])
