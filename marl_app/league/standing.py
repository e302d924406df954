"""How a league stands: ratings, and how diverse its pool is.

Ratings cannot see cycles, so a number for diversity stands beside them. Counting snapshots says little: a hundred
copies are one player. `vendi_score` counts players by how differently they score against the pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import entr

from marl_app.league import cycles
from marl_app.league.league import League
from marl_app.league.payoff import Floats


@dataclass(frozen=True)
class Standing:
    """Elo of every player; and of the pool, None without games in it: its effective size, that of its meta-strategy,
    and what share of its payoff goes round in circles (see `cycles.py`).

    Where each side has a pool, the sizes are their sums.
    """

    ratings: Mapping[str, float]
    effective_pool_size: float | None = None
    meta_strategy_size: float | None = None
    cyclic_share: float | None = None

    @classmethod
    def from_league(cls, league: League) -> Standing:
        """Work it out; takes a fraction of a second for hundreds of snapshots."""
        view, pool = league.view, [snapshot.player.id for snapshot in league.snapshots]
        _, games = league.payoff.counts(pool)
        if not games.any():
            return cls(league.ratings())
        pools = [[snapshot.player.id for snapshot in view.pool(side)] for side in view.sides]
        size = sum(
            vendi_score(league.payoff.matrix(own, other)) for own, other in zip(pools, reversed(pools), strict=True)
        )
        mixed = sum(perplexity(league.mixture(side)) for side in view.sides)
        return cls(league.ratings(), size, mixed, cycles.decompose(league.payoff, pool).cyclic_share)


def perplexity(probabilities: Floats) -> float:
    """The exponential of the entropy of probabilities [n]: n if they are equal, 1 if one of them is 1."""
    return float(np.exp(entr(probabilities).sum()))


def vendi_score(scores: Floats) -> float:
    """The effective number of different players, from 1 to n, by their mean scores [n, m] in [0, 1] against others.

    Friedman and Dieng (2023), "The Vendi score: a diversity evaluation metric for machine learning": the exponential of
    the entropy of the eigenvalues of K / n, where K is the similarity of each two players; copies count as one, players
    without any similarity in full. Similarity is 1 minus the mean difference of their scores against the pool, which
    noise in the scores changes little.
    """
    differences = np.abs(scores[:, None, :] - scores[None, :, :]).mean(axis=2)
    eigenvalues = np.linalg.eigvalsh((1.0 - differences) / len(scores))
    return perplexity(np.maximum(eigenvalues, 0.0))
