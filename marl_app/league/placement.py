"""Prefer whom the rack holds: a matchmaker's distribution, bent a little so that fewer weights have to move.

With `tolerance` t the distribution P becomes (1 - t) P + t P( . | held): a share t of what is not held is given to what
is, in both cases in proportion to P. The total variation distance to P is t P(not held), so at most t. Nobody's
probability falls below 1 - t times what the matchmaker said, and under that condition no distribution gives more to
those that are held; among those that give as much it is the one nearest to P (in relative entropy), because it leaves
the proportions among the held, and among the others, as they were.

A distance of t alone would allow more, to move all of t: but then whoever is held nowhere, as a new snapshot is, and
has a probability below t, would never be met and so never be fetched.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marl_app.league.payoff import Floats


def prefer_held(probabilities: Floats, held: NDArray[np.bool_], tolerance: float) -> Floats:
    """The bent distribution [k], of the same sum. `held` bool [k]; `tolerance` in [0, 1].

    Unchanged, bit by bit, if `tolerance` is 0, if all of it is held, or nothing that has a positive probability.
    """
    on_held = float(probabilities @ held)
    elsewhere = float(probabilities @ ~held)
    if not on_held > 0 or not tolerance * elsewhere > 0:
        return probabilities
    bent: Floats = probabilities * np.where(held, 1 + tolerance * elsewhere / on_held, 1 - tolerance)
    return bent


def total_variation(first: Floats, second: Floats) -> float:
    """The total variation distance of two distributions [k]: the probability that has to move from one to the other."""
    return float(np.abs(first - second).sum()) / 2
