"""OpenSkill ratings (the `openskill` package): a mean and a standard deviation per player.

Weng and Lin (2011), "A Bayesian approximation method for online ranking": their Plackett-Luce model, which uses the
ranks of any number of sides. It updates match by match, so the result depends on their order, which is random here.

Where we differ: players do not change, so their deviations only shrink (tau = 0). A player on several sides of a match
takes part as several teams, and its new rating is the mean of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from openskill.models import PlackettLuce

from marl_app.evaluation.results import Batch

MU, SIGMA = 25.0, 25.0 / 3  # rating of a player without matches


class Skill(NamedTuple):
    """A rating: mean and standard deviation. `ordinal` is a conservative estimate of the skill, mu - 3 sigma."""

    mu: float
    sigma: float

    @property
    def ordinal(self) -> float:
        return self.mu - 3 * self.sigma


def openskill(batches: Sequence[Batch], players: int, zero: int, rng: np.random.Generator) -> list[Skill]:
    """Return the ratings of players 0 to `players` - 1, shifted so that player `zero` has the mean of a new player, 25.

    `rng` draws the order in which the matches are rated.
    """
    model = PlackettLuce(mu=MU, sigma=SIGMA, tau=0.0)
    skills = [(MU, SIGMA)] * players  # (mean, standard deviation) by player
    matches = [match for batch in batches for match in zip(batch.seats.tolist(), batch.scores.tolist(), strict=True)]
    for index in rng.permutation(len(matches)):
        seats, scores = matches[index]
        # Sides that took no part have no score.
        present = [place for place, score in enumerate(scores) if not math.isnan(score)]
        if len(present) < 2:
            continue
        seats, scores = [seats[place] for place in present], [scores[place] for place in present]
        # Every side is a team of one player. Equal scores are ties, higher scores are better ranks.
        teams = [[model.rating(*skills[player])] for player in seats]
        rated = [team[0] for team in model.rate(teams, scores=scores)]
        # A player on several sides gets the mean of the ratings of its seats.
        for player in set(seats):
            ratings = [rating for rating, seat in zip(rated, seats, strict=True) if seat == player]
            skills[player] = sum(r.mu for r in ratings) / len(ratings), sum(r.sigma for r in ratings) / len(ratings)
    shift = MU - skills[zero][0]  # the model depends on differences of means only
    return [Skill(mu + shift, sigma) for mu, sigma in skills]
