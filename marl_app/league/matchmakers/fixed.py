"""Fixed probabilities: the opponents of a learner are given by the configuration.

This is how a best response to a frozen agent, or to a mixture of frozen agents, is trained (`task=exploit`); it is the
oracle of policy-space response oracles (Lanctot et al., 2017) for one meta-strategy.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from marl_app.league.matchmakers.matchmaker import Branch
from marl_app.league.view import LeagueView


class Fixed:
    """Named players with given probabilities.

    A name is that of a current learner, of a snapshot, or of a lineage that does not train (such as a guest), which
    stands for its newest snapshot. With a pool per side, the players that the learner may meet share the probability.

    Raises ValueError unless the probabilities are >= 0 and sum to 1 (within 1e-6). `branches` raises ValueError for an
    unknown player.
    """

    def __init__(self, probabilities: Mapping[str, float]) -> None:
        values = np.array([float(probability) for probability in probabilities.values()])
        if not (values >= 0).all() or not abs(values.sum() - 1) <= 1e-6:
            raise ValueError(f"fixed probabilities must be >= 0 and sum to 1, not {dict(probabilities)}")
        self.players = tuple(probabilities)
        self.probabilities = values / values.sum()

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        facing = {*view.learners_facing(learner), *(snapshot.player.id for snapshot in view.facing(learner))}
        players = [name if name in facing else _resolve(view, name) for name in self.players]
        # [named players] bool: True where the learner may meet the player.
        allowed = np.array([player in facing for player in players])
        probabilities = self.probabilities[allowed]
        if not probabilities.sum() > 0:
            raise ValueError(
                f"fixed probabilities name no opponent of {learner}: name a player of the side that it does not play"
            )
        opponents = tuple(player for player in players if player in facing)
        win_rates = view.payoff.win_rates(learner, opponents)
        return [Branch("fixed", 1.0, opponents, win_rates, probabilities / probabilities.sum())]


def _resolve(view: LeagueView, name: str) -> str:
    """Return the id of the learner, the snapshot, or the newest snapshot of the lineage with this name."""
    learners = [learner.player.id for learner in view.learners]
    pool = [snapshot.player.id for snapshot in view.snapshots]
    if name in learners or name in pool:
        return name
    # A lineage that does not train stands for its newest snapshot.
    if line := view.snapshots_of(name):
        return line[-1].player.id
    raise ValueError(
        f"fixed probabilities name the unknown player {name!r}: expected one of {', '.join([*learners, *pool])}"
    )
