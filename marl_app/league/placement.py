"""Placement: a preference for snapshots that the env runner or its rack holds, so that fewer weights are transferred.

With `tolerance` t the matchmaker's distribution P becomes (1 - t) P + t P( . | held): a share t of the probability of
snapshots that are not held moves to those that are, in both cases in proportion to P. The total variation distance to P
is t P(not held), so at most t. No probability falls below 1 - t times the matchmaker's. Under that condition no
distribution gives more to held snapshots; of the distributions that give as much, this one is nearest to P (in relative
entropy), because it keeps the proportions among held snapshots and among the others.

A limit on the distance alone would allow a larger preference, which moves a total of t. But then a snapshot that is
held nowhere, such as a new snapshot, with a probability below t would never be met, and so never be fetched.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marl_app.league.payoff import Float64s


def prefer_held(probabilities: Float64s, held: NDArray[np.bool_], tolerance: float) -> Float64s:
    """Return the changed distribution [k], with the same sum. `held` is bool [k], `tolerance` in [0, 1].

    Returned as it is if `tolerance` is 0, or if all or none of the probability is held.
    """
    held_sum = float(probabilities @ held)
    other_sum = float(probabilities @ ~held)
    if not held_sum > 0 or not tolerance * other_sum > 0:
        return probabilities
    changed: Float64s = probabilities * np.where(held, 1 + tolerance * other_sum / held_sum, 1 - tolerance)
    return changed


def total_variation(first: Float64s, second: Float64s) -> float:
    """Return the total variation distance of two distributions [k]: the probability that moves between them."""
    return float(np.abs(first - second).sum()) / 2
