"""What becomes of a learner that was frozen: it goes on, or starts again.

AlphaStar (Vinyals et al., 2019): main agents go on; main exploiters start again after every freeze, league exploiters
after one in four, from the weights that training began with. An exploiter that goes on would become one more main
agent; one that starts again looks for another weakness.

Where we differ: their pseudocode resets the weights before it makes the snapshot, which would then hold the wrong ones.
Here a `Freeze` says what to do after the snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_app.league.players import LEAGUE_EXPLOITER, MAIN_EXPLOITER

INITIAL = "initial"  # the weights that training began with; no snapshot has an id like this

CHANCES = {MAIN_EXPLOITER: 1.0, LEAGUE_EXPLOITER: 0.25}  # of starting again after a freeze; other roles never do


@dataclass(frozen=True)
class Freeze:
    """A decision: freeze this learner (an id) into the pool, for this reason.

    And then, when its snapshot is in the pool, reset it to the weights of `reset_to`, the id of a snapshot or INITIAL;
    None: it goes on as it is.
    """

    learner: str
    reason: str
    reset_to: str | None = None


def reset_to(role: str, rng: np.random.Generator | None) -> str | None:
    """What a learner of this role starts again from after a freeze; None: it goes on.

    Draws a number only where it is a matter of chance; then ValueError without a generator.
    """
    chance = CHANCES.get(role, 0.0)
    if 0 < chance < 1:
        if rng is None:
            raise ValueError(f"whether a {role} is reset is a matter of chance: give a random generator")
        return INITIAL if rng.random() < chance else None
    return INITIAL if chance else None
