"""What becomes of a learner that was frozen: it goes on, or starts again.

AlphaStar (Vinyals et al., 2019): main agents go on; main exploiters start again after every freeze, league exploiters
after one in four, from the weights that training began with (here: from what `Learner.reset_to` names). An exploiter
that goes on would become one more main agent; one that starts again looks for another weakness.

Where we differ: their pseudocode resets the weights before it makes the snapshot, which would then hold the wrong ones.
Here a `Freeze` says what to do after the snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_app.league.players import INITIAL, LEAGUE_EXPLOITER, MAIN_EXPLOITER, Learner
from marl_app.league.view import LeagueView

RESET_PROBABILITY = {
    MAIN_EXPLOITER: 1.0,
    LEAGUE_EXPLOITER: 0.25,
}  # of starting again after a freeze; other roles never do


@dataclass(frozen=True)
class Freeze:
    """A decision: freeze this learner (an id) into the pool, for this reason.

    And then, when its snapshot is in the pool, reset it to the weights of `reset_to`, the id of a snapshot or INITIAL;
    None: it goes on as it is.
    """

    learner: str
    reason: str
    reset_to: str | None = None


def reset_to(learner: Learner, view: LeagueView, rng: np.random.Generator | None) -> str | None:
    """What the learner starts again from after a freeze, INITIAL or a snapshot's id; None: it goes on.

    A snapshot that is not in the pool, or not any more, is replaced by the newest of its lineage; where there is none,
    INITIAL. Draws a number only where it is a matter of chance; then ValueError without a generator.
    """
    chance = RESET_PROBABILITY.get(learner.role, 0.0)
    if 0 < chance < 1:
        if rng is None:
            raise ValueError(f"whether a {learner.role} is reset is a matter of chance: give a random generator")
        chance = float(rng.random() < chance)
    if not chance:
        return None
    line = [] if learner.reset_to == INITIAL else view.snapshots_of(learner.reset_to.partition("@")[0])
    ids = [snapshot.player.id for snapshot in line]
    return learner.reset_to if learner.reset_to in ids else ids[-1] if ids else INITIAL
