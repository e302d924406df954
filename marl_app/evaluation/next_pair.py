"""Which pair plays next in cross-play: the one whose matches are expected to make the most of what is asked clearer.

Asked are two things, and a pair's worth is the sum of the shares of both doubts that a batch more of it would remove:

- The ranking. Its doubt is the Elo by which neighbors are expected to be in the wrong order: much for players that are
  close and little known, little for those that are known to be close. Ratings (Bradley and Terry) have a covariance;
  more games of a pair shrink it by a rank-one update, that of all neighbors at once.
- The meta-strategy. Its doubt is the variance of what each player would gain against the Nash mixture p of the payoff:
  the cell of i and j counts p_i^2 + p_j^2 times the variance of its mean score.

So little is spent on players that are far apart and that the mixture does not use. Greedy, one batch at a time, and the
estimates so far are taken for the truth.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from marl_app.evaluation.results import Results
from marl_app.league.meta.nash import Nash
from marl_app.league.payoff import Floats
from marl_app.league.ratings import ELO_PER_LOGIT, bradley_terry, covariance

PRIOR = 0.5  # wins added both ways to every pair: 16 wins in 16 games are not taken for certainty


def next_pair(results: Results, batch: int) -> tuple[int, int]:
    """The pair (i < j) of two players or more that plays the next `batch` games. One without games comes first."""
    first, second = np.triu_indices(len(results.players), 1)
    unplayed = np.flatnonzero(results.games[first, second] == 0)
    best = int(unplayed[0]) if len(unplayed) else int(worth(results, batch).argmax())
    return int(first[best]), int(second[best])


def worth(results: Results, batch: int) -> Floats:
    """The share of doubt that a batch of each pair would remove, [n (n - 1) / 2] in the order of `triu_indices`."""
    total = np.zeros(len(results.players) * (len(results.players) - 1) // 2)
    for doubt, removed in (_ranking(results.points, batch), _meta_strategy(results, batch)):
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


def _ranking(points: Floats, batch: int) -> tuple[float, Floats]:
    """The Elo by which neighbors are expected to be in the wrong order, and what a batch of each pair takes off."""
    ratings = bradley_terry(points, PRIOR)
    errors = covariance(points, ratings, PRIOR)
    order = np.argsort(ratings)
    gaps = np.diff(ratings[order])
    contrasts = np.eye(len(order))[order[1:]] - np.eye(len(order))[order[:-1]]  # [neighbors, n]
    first, second = np.triu_indices(len(order), 1)
    shared = (contrasts @ errors)[:, first] - (contrasts @ errors)[:, second]  # covariance of neighbors and pairs
    own = np.diag(errors)[first] + np.diag(errors)[second] - 2 * errors[first, second]
    score = 1 / (1 + 10 ** ((ratings[second] - ratings[first]) / 400))
    information = batch * score * (1 - score) / ELO_PER_LOGIT**2
    before = np.einsum("kn,nm,km->k", contrasts, errors, contrasts)
    after = before[:, None] - information * shared**2 / (1 + information * own)
    doubt = _wrong(gaps, before)
    return float(doubt.sum()), (doubt[:, None] - _wrong(gaps[:, None], after)).sum(axis=0)


def _meta_strategy(results: Results, batch: int) -> tuple[float, Floats]:
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
