"""Active choice of the pair that plays the next batch of cross-play: the pair that is expected to reduce doubt most.

Cross-play estimates three things. Each has a doubt, and the value of a pair is the sum over the three of the share of
the doubt that one more batch of the pair is expected to remove:

- The ranking. Doubt: the Elo by which neighbors are expected to be in the wrong order. It is large for neighbors that
  are close and rarely measured, small for neighbors that are known to be close.
- The level. Doubt: the summed variance of Elo differences to player `zero`, the anchor by which runs are compared.
- The meta-strategy. Doubt: the summed variance of each player's gain against the Nash mixture p of the payoff, in which
  the variance of the mean score between i and j has the weight p_i^2 + p_j^2.

Every second batch goes to the pair whose own mean score is the least certain: certified ranks (`certified.py`) assume
no model, so they need matches of all pairs, also of those whose results the ratings predict.

The ratings (Bradley and Terry) have a covariance matrix; more games of one pair change it by a rank-one update, which
affects all players. The choice is greedy, one batch at a time, and takes the current estimates as true.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import norm

from marl_app.evaluation.results import CrossPlayResults
from marl_app.league.meta.nash import Nash
from marl_app.league.payoff import Float64s
from marl_app.league.ratings import ELO_PER_LOGIT, bradley_terry, covariance

PRIOR = 0.5  # wins added to both players of every pair, so that 16 wins in 16 games leave some variance


def next_pair(results: CrossPlayResults, batch: int) -> tuple[int, int]:
    """Return the pair i < j that plays the next `batch` games. Pairs that can meet and have no games come first."""
    first, second = np.triu_indices(len(results.players), 1)
    can_meet = results.can_meet[first, second]
    unplayed = np.flatnonzero(can_meet & (results.games[first, second] == 0))
    if len(unplayed):
        best = int(unplayed[0])
    else:
        value = error_removed(results, batch) if len(results.batches) % 2 else doubt_removed(results, batch)
        best = int(np.where(can_meet, value, -np.inf).argmax())
    return int(first[best]), int(second[best])


def doubt_removed(results: CrossPlayResults, batch: int) -> Float64s:
    """Return the summed shares of doubt that a batch of each pair is expected to remove.

    float64 [n (n - 1) / 2], in the order of `np.triu_indices(n, 1)`. A doubt that is 0 already is left out.
    """
    total = np.zeros(len(results.players) * (len(results.players) - 1) // 2)
    for doubt, removed in (*_ratings(results, batch), _meta_strategy(results, batch)):
        if doubt > 0:
            total += removed / doubt
    return total


def error_removed(results: CrossPlayResults, batch: int) -> Float64s:
    """Return by how much a batch of each pair is expected to reduce the standard error of its mean score.

    float64 [n (n - 1) / 2], in the order of `np.triu_indices(n, 1)`.
    """
    first, second = np.triu_indices(len(results.players), 1)
    counted = results.games[first, second] + 2 * PRIOR
    score = (results.points[first, second] + PRIOR) / counted
    removed: Float64s = np.sqrt(score * (1 - score)) * (counted**-0.5 - (counted + batch) ** -0.5)
    return removed


def ranking_doubt(ratings: Float64s, errors: Float64s) -> float:
    """Return the Elo by which neighbors in the ranking are expected to be in the wrong order.

    `ratings`: Elo [n]; `errors`: their covariance [n, n].
    """
    # The variance of a difference: Var(a - b) = S_aa + S_bb - 2 S_ab
    order = np.argsort(ratings)
    gaps = np.diff(ratings[order])
    lower, upper = order[:-1], order[1:]
    variance = errors[lower, lower] + errors[upper, upper] - 2 * errors[lower, upper]
    return float(_expected_inversion(gaps, variance).sum())


def _ratings(results: CrossPlayResults, batch: int) -> Iterator[tuple[float, Float64s]]:
    """Yield for the ranking and for the level: the doubt, and the part of it that a batch of each pair would remove."""
    ratings = bradley_terry(results.points, PRIOR)
    errors = covariance(results.points, ratings, PRIOR)
    order, unit = np.argsort(ratings), np.eye(len(ratings))
    # Contrasts [n - 1, n]: the rating of each player minus that of its lower neighbor.
    before, after = _variances(unit[order[1:]] - unit[order[:-1]], ratings, errors, batch)
    gaps = np.diff(ratings[order])
    inversion = _expected_inversion(gaps, before)
    yield float(inversion.sum()), (inversion[:, None] - _expected_inversion(gaps[:, None], after)).sum(axis=0)
    # Contrasts [n, n]: the rating of each player minus that of player `zero`.
    before, after = _variances(unit - unit[results.zero], ratings, errors, batch)
    yield float(before.sum()), (before[:, None] - after).sum(axis=0)


def _variances(contrasts: Float64s, ratings: Float64s, errors: Float64s, batch: int) -> tuple[Float64s, Float64s]:
    """Return the variance of `contrasts` [k, n] of the ratings now, [k], and after a batch of each pair, [k, pairs].

    A batch of pair (i, j) adds information h d d^T to the inverse covariance, with d = e_i - e_j. By Sherman and
    Morrison the covariance S becomes S - h (S d)(S d)^T / (1 + h d^T S d), without an inversion per pair.
    """
    first, second = np.triu_indices(len(ratings), 1)
    shared = (contrasts @ errors)[:, first] - (contrasts @ errors)[:, second]  # c^T S d, [k, pairs]
    pair_variance = np.diag(errors)[first] + np.diag(errors)[second] - 2 * errors[first, second]  # d^T S d, [pairs]
    score = 1 / (1 + 10 ** ((ratings[second] - ratings[first]) / 400))
    # Fisher information of `batch` games about the rating difference in Elo: h, [pairs]
    information = batch * score * (1 - score) / ELO_PER_LOGIT**2
    # c^T S c of each contrast, without the [k, k] matrix
    now: Float64s = np.einsum("kn,nm,km->k", contrasts, errors, contrasts)
    return now, now[:, None] - information * shared**2 / (1 + information * pair_variance)


def _meta_strategy(results: CrossPlayResults, batch: int) -> tuple[float, Float64s]:
    """Return the doubt about gains against the Nash mixture, and the part that a batch of each pair would remove."""
    mixture = results.mixture(Nash())
    first, second = np.triu_indices(len(mixture), 1)
    # All pairs have PRIOR wins of each player, so a pair without games has a finite variance.
    counted = results.games[first, second] + 2 * PRIOR
    score = (results.points[first, second] + PRIOR) / counted
    used = np.nan_to_num(mixture[first] ** 2 + mixture[second] ** 2)  # NaN: a player that may not be mixed
    weight = used * score * (1 - score)  # variance of one game, by how much the mixture uses the pair
    return float((weight / counted).sum()), weight * (1 / counted - 1 / (counted + batch))


def _expected_inversion(gaps: Float64s, variance: Float64s) -> Float64s:
    """Return E[max(0, -x)] in Elo for x ~ N(gaps, variance): by how much the order of two players is wrong on average.

    The closed form is that of expected improvement (Jones et al., 1998). `gaps` >= 0 are estimated differences.
    """
    # The lower bound avoids a division by zero for pairs of known difference.
    deviation = np.sqrt(np.maximum(variance, 1e-12))
    elo: Float64s = deviation * norm.pdf(gaps / deviation) - gaps * norm.sf(gaps / deviation)
    return elo
