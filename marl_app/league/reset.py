"""Resets: whether a learner continues after a freeze or starts again.

AlphaStar (Vinyals et al., 2019): main agents continue; main exploiters start again after every freeze, league
exploiters after one in four, from the weights that training began with (here: from `Learner.reset_to`). An exploiter
that continued would become one more main agent; an exploiter that starts again finds another weakness.

Where we differ: their pseudocode resets the weights before it makes the snapshot, which would then hold the wrong
weights. Here a `Freeze` contains the reset that follows the snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_app.league.players import INITIAL, LEAGUE_EXPLOITER, MAIN_EXPLOITER, NEVER, Learner
from marl_app.league.view import LeagueView

RESET_PROBABILITY = {
    MAIN_EXPLOITER: 1.0,
    LEAGUE_EXPLOITER: 0.25,
}  # of starting again after a freeze; other roles never do


@dataclass(frozen=True)
class Freeze:
    """A decision: freeze this learner (an id) into the pool, for this reason.

    When its snapshot is in the pool, the learner is reset to the weights of `reset_to`, the id of a snapshot or
    INITIAL; None: it continues with its weights.
    """

    learner: str
    reason: str
    reset_to: str | None = None


def reset_to(learner: Learner, view: LeagueView, rng: np.random.Generator | None) -> str | None:
    """Return what the learner starts again from after a freeze: INITIAL, a snapshot's id, or None if it continues.

    A snapshot that is not in the pool is replaced by the newest of its lineage, or by INITIAL without any. Draws a
    number only if the probability is between 0 and 1; raises ValueError if `rng` is then None.
    """
    probability = 0.0 if learner.reset_to == NEVER else RESET_PROBABILITY.get(learner.role, 0.0)
    if 0 < probability < 1:
        if rng is None:
            raise ValueError(f"resets of a {learner.role} are random: pass a random generator as rng")
        probability = float(rng.random() < probability)
    if not probability:
        return None
    # "main@0003" and "main" both name the lineage before the @.
    line = [] if learner.reset_to == INITIAL else view.snapshots_of(learner.reset_to.partition("@")[0])
    ids = [snapshot.player.id for snapshot in line]
    return learner.reset_to if learner.reset_to in ids else ids[-1] if ids else INITIAL
