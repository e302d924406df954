"""Prioritized fictitious self-play (PFSP): snapshots that the learner does not yet beat have higher probabilities.

Vinyals et al. (2019), as in AlphaStar's published pseudocode: the weight of an opponent is a function of the win rate x
against it. `squared` prefers opponents that the learner loses to; `variance` prefers opponents of equal strength;
`linear` and `linear_capped` are more even. An opponent that is always beaten gets no matches.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from marl_app.league.matchmakers.matchmaker import Branch, branches_by_win_rate
from marl_app.league.payoff import Float64s
from marl_app.league.view import LeagueView

# Weights by win rate x, [k] -> [k].
WEIGHTINGS = {
    "squared": lambda x: (1 - x) ** 2,
    "variance": lambda x: x * (1 - x),
    "linear": lambda x: 1 - x,
    "linear_capped": lambda x: np.minimum(0.5, 1 - x),
}


def pfsp_weights(win_rates: Float64s, weighting: str = "squared") -> Float64s:
    """Return probabilities [k] of opponents from the learner's `win_rates` [k] in [0, 1] against them.

    Uniform if all weights are 0 (all opponents are always beaten). Raises ValueError for an unknown weighting.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"unknown PFSP weighting {weighting!r}: expected one of {', '.join(WEIGHTINGS)}")
    weights: Float64s = WEIGHTINGS[weighting](np.asarray(win_rates, np.float64))
    total = weights.sum()
    return weights / total if total >= 1e-10 else np.full(len(weights), 1 / max(1, len(weights)))


class Pfsp:
    """PFSP over the snapshots of all lineages; its rule is named `pfsp_<weighting>`."""

    def __init__(self, weighting: str = "squared") -> None:
        pfsp_weights(np.zeros(0), weighting)  # raises ValueError for an unknown weighting, before a run starts
        self.weighting = weighting

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        weigh = partial(pfsp_weights, weighting=self.weighting)
        return branches_by_win_rate(view.facing(learner), view, learner, f"pfsp_{self.weighting}", weigh)
