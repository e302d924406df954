"""Fixed probabilities: whom a learner plays was decided before, as when it is trained against given opponents.

A best response to a frozen agent, or to a mixture of them, is trained this way (`task=exploit`); it is the oracle of
policy-space response oracles (Lanctot et al., 2017) for one meta-strategy.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from marl_app.league.matchmakers.matchmaker import Branch
from marl_app.league.view import LeagueView


class Fixed:
    """Each named player with its probability: a learner as it is, a snapshot, or the newest snapshot of a lineage
    that does not train, as a guest. Where each side has a pool, those count whom a learner may meet.

    Raises ValueError unless the probabilities are >= 0 and sum to 1 (within 1e-6), and while a player is not there.
    """

    def __init__(self, probabilities: Mapping[str, float]) -> None:
        chances = np.array([float(chance) for chance in probabilities.values()])
        if not (chances >= 0).all() or not abs(chances.sum() - 1) <= 1e-6:
            raise ValueError(f"fixed probabilities must be >= 0 and sum to 1, not {dict(probabilities)}")
        self.players = tuple(probabilities)
        self.probabilities = chances / chances.sum()

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        everybody = [_found(view, player) for player in self.players]
        side = view.faced_side(learner)
        met = np.array([side is None or view.side(player) in (None, side) for player in everybody])
        chances = self.probabilities[met]
        if not chances.sum() > 0:
            raise ValueError(f"fixed probabilities name nobody whom {learner} may meet, who plays another side than it")
        opponents = tuple(player for player, one in zip(everybody, met, strict=True) if one)
        return [Branch("fixed", 1.0, opponents, view.payoff.win_rates(learner, opponents), chances / chances.sum())]


def _found(view: LeagueView, name: str) -> str:
    """The id of the player that a name stands for."""
    learners = [learner.player.id for learner in view.learners]
    pool = [snapshot.player.id for snapshot in view.snapshots]
    if name in learners or name in pool:
        return name
    if line := view.snapshots_of(name):
        return line[-1].player.id
    raise ValueError(f"fixed probabilities name {name}, who is not there; there are {', '.join([*learners, *pool])}")
