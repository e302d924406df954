"""OpenSkill ratings (the `openskill` package): a mean and a deviation per player, from whole matches.

Weng and Lin (2011), "A Bayesian approximation method for online ranking": their Plackett-Luce model, which takes the
places of any number of sides. It goes match by match, so the result depends on their order; here it is a random one.

Where we differ: players do not change, so their deviation only shrinks (tau = 0). A player on several sides of a match
takes part as several teams, and the mean of their updates is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from openskill.models import PlackettLuce

from marl_app.evaluation.results import Batch

MU, SIGMA = 25.0, 25.0 / 3  # of who has not played


class Skill(NamedTuple):
    """Mean and deviation; `ordinal` is the skill that a player has almost surely, mu - 3 sigma."""

    mu: float
    sigma: float

    @property
    def ordinal(self) -> float:
        return self.mu - 3 * self.sigma


def openskill(batches: Sequence[Batch], players: int, zero: int, rng: np.random.Generator) -> list[Skill]:
    """The ratings of so many players, shifted such that player `zero` has the mean of who has not played, 25."""
    model = PlackettLuce(mu=MU, sigma=SIGMA, tau=0.0)
    skills = [(MU, SIGMA)] * players
    matches = [match for batch in batches for match in zip(batch.seats.tolist(), batch.scores.tolist(), strict=True)]
    for index in rng.permutation(len(matches)):
        seats, scores = matches[index]
        teams = [[model.rating(*skills[player])] for player in seats]
        rated = [team[0] for team in model.rate(teams, scores=scores)]
        for player in set(seats):
            own = [rating for rating, seat in zip(rated, seats, strict=True) if seat == player]
            skills[player] = sum(r.mu for r in own) / len(own), sum(r.sigma for r in own) / len(own)
    shift = MU - skills[zero][0]
    return [Skill(mu + shift, sigma) for mu, sigma in skills]
