"""The standing of a league: ratings, and the diversity of its pool.

Ratings cannot represent cycles, so the standing also has measures of diversity. The number of snapshots is a poor
measure: a hundred copies are one player. `vendi_score` counts players by the differences of their scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from marl_app.league import cycles
from marl_app.league.league import League
from marl_app.league.payoff import Float64s


@dataclass(frozen=True)
class Standing:
    """The Elo of every player, and measures of the pool, which are None without games in it.

    `effective_pool_size` is the Vendi score of the pool, `meta_strategy_size` the perplexity of its meta-strategy, and
    `cyclic_share` that of its payoff (see `cycles.py`). With a pool per side, the sizes are sums over the sides.
    """

    ratings: Mapping[str, float]
    effective_pool_size: float | None = None
    meta_strategy_size: float | None = None
    cyclic_share: float | None = None

    @classmethod
    def from_league(cls, league: League) -> Standing:
        """Return the current standing; takes a fraction of a second for hundreds of snapshots."""
        view, pool = league.view, [snapshot.player.id for snapshot in league.snapshots]
        _, games = league.payoff.counts(pool)
        # Before the first games within the pool, its scores are all the default of 0.5, and measures are meaningless.
        if not games.any():
            return cls(league.ratings())
        pools = [[snapshot.player.id for snapshot in view.pool(side)] for side in view.sides]
        # With one pool `reversed` gives the same pool: its members meet each other.
        effective_size = sum(
            vendi_score(league.payoff.matrix(pool_of_side, opponents))
            for pool_of_side, opponents in zip(pools, reversed(pools), strict=True)
        )
        mixture_size = sum(perplexity(league.mixture(side)) for side in view.sides)
        return cls(league.ratings(), effective_size, mixture_size, cycles.decompose(league.payoff, pool).cyclic_share)


def perplexity(probabilities: Float64s) -> float:
    """Return the exponential of the entropy of probabilities [n]: n if all are equal, 1 if any is 1."""
    positive = probabilities[probabilities > 0]
    return float(np.exp(-(positive * np.log(positive)).sum()))


def vendi_score(scores: Float64s) -> float:
    """Return the effective number of different players, from 1 to n, by their mean scores [n, m] in [0, 1].

    Friedman and Dieng (2023), "The Vendi score: a diversity evaluation metric for machine learning": the exponential of
    the entropy of the eigenvalues of K / n, where K [n, n] is the similarity of each two players; copies count as one
    player, players without any similarity count in full. Similarity is 1 minus the mean absolute difference of the
    scores against the m opponents, which noise in the scores changes little.
    """
    # [n, n] mean absolute difference of two rows, from an intermediate array [n, n, m]
    differences = np.abs(scores[:, None, :] - scores[None, :, :]).mean(axis=2)
    eigenvalues = np.linalg.eigvalsh((1.0 - differences) / len(scores))
    return perplexity(np.maximum(eigenvalues, 0.0))  # rounding can make zero eigenvalues slightly negative
