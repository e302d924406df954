"""Which pair plays next in cross-play: the one whose matches are expected to make the most of what is asked clearer.

Asked are three things, and a pair's worth is the sum of the shares of all doubts that a batch more of it would remove:

- The ranking. Its doubt is the Elo by which neighbors are expected to be in the wrong order: much for players that are
  close and little known, little for those that are known to be close.
- The level. Its doubt is the variance of all Elo above zero, which is the anchor that runs are compared by.
- The meta-strategy. Its doubt is the variance of what each player would gain against the Nash mixture p of the payoff:
  the cell of i and j counts p_i^2 + p_j^2 times the variance of its mean score.

Ratings (Bradley and Terry) have a covariance; more games of a pair shrink it by a rank-one update, that of all players
at once. Greedy, one batch at a time, and the estimates so far are taken for the truth.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import norm

from marl_app.evaluation.results import CrossPlayResults
from marl_app.league.meta.nash import Nash
from marl_app.league.payoff import Floats
from marl_app.league.ratings import ELO_PER_LOGIT, bradley_terry, covariance

PRIOR = 0.5  # wins added both ways to every pair: 16 wins in 16 games are not taken for certainty


def next_pair(results: CrossPlayResults, batch: int) -> tuple[int, int]:
    """The pair (i < j), of those that can meet, that plays the next `batch` games. One without games comes first."""
    first, second = np.triu_indices(len(results.players), 1)
    can_meet = results.can_meet[first, second]
    unplayed = np.flatnonzero(can_meet & (results.games[first, second] == 0))
    best = (
        int(unplayed[0]) if len(unplayed) else int(np.where(can_meet, doubt_removed(results, batch), -np.inf).argmax())
    )
    return int(first[best]), int(second[best])


def doubt_removed(results: CrossPlayResults, batch: int) -> Floats:
    """The share of doubt that a batch of each pair would remove, [n (n - 1) / 2] in the order of `triu_indices`."""
    total = np.zeros(len(results.players) * (len(results.players) - 1) // 2)
    for doubt, removed in (*_ratings(results, batch), _meta_strategy(results, batch)):
        if doubt > 0:
            total += removed / doubt
    return total


def ranking_doubt(ratings: Floats, errors: Floats) -> float:
    """The Elo by which neighbors are expected to be in the wrong order: `ratings` [n], their covariance [n, n]."""
    order = np.argsort(ratings)
    gaps = np.diff(ratings[order])
    lower, upper = order[:-1], order[1:]
    variance = errors[lower, lower] + errors[upper, upper] - 2 * errors[lower, upper]
    return float(_wrong(gaps, variance).sum())


def _ratings(results: CrossPlayResults, batch: int) -> Iterator[tuple[float, Floats]]:
    """The doubt about ranking and level, and how much of each a batch of each pair would take off."""
    ratings = bradley_terry(results.points, PRIOR)
    errors = covariance(results.points, ratings, PRIOR)
    order, unit = np.argsort(ratings), np.eye(len(ratings))
    before, after = _variances(unit[order[1:]] - unit[order[:-1]], ratings, errors, batch)
    gaps = np.diff(ratings[order])
    wrong = _wrong(gaps, before)
    yield float(wrong.sum()), (wrong[:, None] - _wrong(gaps[:, None], after)).sum(axis=0)
    before, after = _variances(unit - unit[results.zero], ratings, errors, batch)
    yield float(before.sum()), (before[:, None] - after).sum(axis=0)


def _variances(contrasts: Floats, ratings: Floats, errors: Floats, batch: int) -> tuple[Floats, Floats]:
    """The variance of `contrasts` [k, n] of ratings: now, [k], and after a batch of each pair, [k, pairs]."""
    first, second = np.triu_indices(len(ratings), 1)
    shared = (contrasts @ errors)[:, first] - (contrasts @ errors)[:, second]  # covariance of contrasts and pairs
    own = np.diag(errors)[first] + np.diag(errors)[second] - 2 * errors[first, second]
    score = 1 / (1 + 10 ** ((ratings[second] - ratings[first]) / 400))
    information = batch * score * (1 - score) / ELO_PER_LOGIT**2
    now: Floats = np.einsum("kn,nm,km->k", contrasts, errors, contrasts)
    return now, now[:, None] - information * shared**2 / (1 + information * own)


def _meta_strategy(results: CrossPlayResults, batch: int) -> tuple[float, Floats]:
    """The variance of all gains against the Nash mixture, and by how much a batch of each pair would lower it."""
    mixture = results.mixture(Nash())
    first, second = np.triu_indices(len(mixture), 1)
    counted = results.games[first, second] + 2 * PRIOR
    score = (results.points[first, second] + PRIOR) / counted
    used = np.nan_to_num(mixture[first] ** 2 + mixture[second] ** 2)  # NaN: one of them is not mixed
    weight = used * score * (1 - score)
    return float((weight / counted).sum()), weight * (1 / counted - 1 / (counted + batch))


def _wrong(gaps: Floats, variance: Floats) -> Floats:
    """The expected Elo below zero of differences that are estimated as `gaps` >= 0 with this variance."""
    deviation = np.sqrt(np.maximum(variance, 1e-12))
    elo: Floats = deviation * norm.pdf(gaps / deviation) - gaps * norm.sf(gaps / deviation)
    return elo
