"""Ratings: one number per player, such that differences predict results.

Elo (1978) updates two ratings after each game. Bradley and Terry (1952) is the same model fitted to all games at once,
so it does not depend on their order; that is what the league reports. No rating sees cycles: rock, paper and scissors
are all equal here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from marl_app.league.payoff import Floats

ELO_PER_LOGIT = 400 / np.log(10)  # 400 points of difference are odds of 10 to 1
PRECISION = 1e-9  # logits


def expected_score(rating_a: float, rating_b: float) -> float:
    """Expected score of a against b, in (0, 1)."""
    return float(1 / (1 + 10 ** ((rating_b - rating_a) / 400)))


def elo_update(rating_a: float, rating_b: float, score: float, k: float = 16.0) -> tuple[float, float]:
    """Both ratings after a game in which a scored `score` (1 win, 0.5 draw, 0 loss). What one gains the other loses."""
    gain = k * (score - expected_score(rating_a, rating_b))
    return rating_a + gain, rating_b - gain


def bradley_terry(wins: ArrayLike, smoothing: float = 0.01, max_iterations: int = 100) -> Floats:
    """Elo ratings [n], the lowest 0, that make `wins` [n, n] (row beats column; half a win for a draw) most likely.

    `smoothing` wins are added both ways to every pair: it keeps ratings finite for players who never won, never
    played, or share no opponents, and pulls all of them together a little. Must be > 0.

    The fit is Newton's method with step halving. Hunter (2004), "MM algorithms for generalized Bradley-Terry models",
    finds the same maximum (it is unique) by an iteration that needs hundreds to thousands of rounds when each player
    met only a few others, as in a league; Newton's needs about ten. Raises ValueError for wins that are not square,
    finite and >= 0.
    """
    won = np.array(wins, np.float64)
    n = len(won)
    if won.shape != (n, n) or not np.isfinite(won).all() or (won < 0).any() or smoothing <= 0:
        raise ValueError(f"wins must be square, finite and >= 0, and smoothing > 0; got {won.shape} and {smoothing}")
    if n == 0:
        return np.zeros(0)
    won += smoothing
    np.fill_diagonal(won, 0.0)
    games = won + won.T
    logits: Floats = np.zeros(n)
    loss = _loss(logits, won)
    for _ in range(max_iterations):
        score = np.exp(-np.logaddexp(0.0, logits[None, :] - logits[:, None]))  # expected, row against column
        gradient = (won - games * score).sum(axis=1)
        weight = games * score * score.T
        hessian = np.diag(weight.sum(axis=1) + 1e-9) - weight
        # Ratings are defined up to a shift: a constant added to the singular Hessian fixes their mean.
        step = np.linalg.solve(hessian + games.mean() / 4, gradient)
        while (trial := _loss(logits + step, won)) > loss and np.abs(step).max() > PRECISION:
            step = step / 2
        if trial > loss or np.abs(step).max() <= PRECISION:
            break
        logits, loss = logits + step, trial
    ratings: Floats = (logits - logits.min()) * ELO_PER_LOGIT
    return ratings


def covariance(wins: ArrayLike, ratings: ArrayLike, smoothing: float = 0.01) -> Floats:
    """How uncertain `ratings` [n] are that `bradley_terry` fitted to `wins` with `smoothing`: [n, n], in squared Elo.

    The inverse of the Hessian of the loss there. Ratings are defined up to a shift, so only differences mean anything:
    that of i and j has the variance c[i, i] + c[j, j] - 2 c[i, j]. Draws vary less than wins and losses, so with them
    it is too large, never too small.
    """
    won = np.array(wins, np.float64) + smoothing
    np.fill_diagonal(won, 0.0)
    logits = np.asarray(ratings, np.float64) / ELO_PER_LOGIT
    expected = np.exp(-np.logaddexp(0.0, logits[None, :] - logits[:, None]))
    weight = (won + won.T) * expected * expected.T
    hessian = np.diag(weight.sum(axis=1)) - weight
    # A constant added to the singular Hessian fixes the mean, as in the fit; differences do not notice.
    inverse: Floats = np.linalg.inv(hessian + weight.mean()) * ELO_PER_LOGIT**2
    return inverse


def _loss(logits: Floats, won: Floats) -> float:
    """Negative log likelihood of `won` [n, n]."""
    return float((won * np.logaddexp(0.0, logits[None, :] - logits[:, None])).sum())
