"""Prioritized fictitious self-play: the snapshots a learner still has something to learn from are drawn more often.

Vinyals et al. (2019), as in AlphaStar's published pseudocode: the weight of an opponent is a function of the win rate
x against it. `squared` goes after the opponents one loses to; `variance` prefers those of one's own strength;
`linear` and `linear_capped` spread attention more evenly. An opponent that is always beaten gets no matches.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from marl_app.league.matchmakers.matchmaker import Branch, branches_by_win_rate
from marl_app.league.payoff import Floats
from marl_app.league.view import LeagueView

WEIGHTINGS = {
    "squared": lambda x: (1 - x) ** 2,
    "variance": lambda x: x * (1 - x),
    "linear": lambda x: 1 - x,
    "linear_capped": lambda x: np.minimum(0.5, 1 - x),
}


def pfsp_weights(win_rates: Floats, weighting: str = "squared") -> Floats:
    """Probabilities [k] of opponents against whom one has `win_rates` [k] in [0, 1].

    Uniform where all weights vanish (everybody is always beaten). ValueError for an unknown weighting.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"unknown PFSP weighting {weighting!r}: choose one of {', '.join(WEIGHTINGS)}")
    weights: Floats = WEIGHTINGS[weighting](np.asarray(win_rates, np.float64))
    total = weights.sum()
    return weights / total if total >= 1e-10 else np.full(len(weights), 1 / max(1, len(weights)))


class Pfsp:
    """PFSP over all snapshots of all lineages; its rule is named `pfsp_<weighting>`."""

    def __init__(self, weighting: str = "squared") -> None:
        pfsp_weights(np.zeros(0), weighting)  # an unknown weighting fails here, before anything runs
        self.weighting = weighting

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        weigh = partial(pfsp_weights, weighting=self.weighting)
        return branches_by_win_rate(view.facing(learner), view, learner, f"pfsp_{self.weighting}", weigh)
