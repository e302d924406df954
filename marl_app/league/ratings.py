"""Ratings: one number per player, such that differences predict results.

The model is that of Bradley and Terry (1952), fitted to all games together, on Elo's scale (1978). Elo's own rule, an
update of two ratings after each game, would depend on the order of the games. Ratings cannot represent cycles: rock,
paper and scissors have equal ratings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from marl_app.league.payoff import Float64s

ELO_PER_LOGIT = 400 / np.log(10)  # 400 points of difference are odds of 10 to 1
PRECISION = 1e-9  # in logits: the fit stops at smaller steps


def bradley_terry(wins: ArrayLike, smoothing: float = 0.01, max_iterations: int = 100) -> Float64s:
    """Return the Elo ratings [n], the lowest 0, with the highest likelihood of `wins` [n, n] (row beats column).

    A draw is half a win. `smoothing` wins (> 0) are added in both directions of every pair: they keep ratings finite
    for players that never won, never played, or share no opponents, and pull all ratings together a little.

    The fit is Newton's method with step halving. Hunter (2004), "MM algorithms for generalized Bradley-Terry models",
    finds the same unique maximum by an iteration that needs hundreds to thousands of rounds when each player met only a
    few others, as in a league; Newton's method needs about ten. Raises ValueError for wins that are not square, finite
    and >= 0.
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
    logits: Float64s = np.zeros(n)
    loss = _loss(logits, won)
    for _ in range(max_iterations):
        # [n, n] expected score of row against column: the sigmoid, without overflow
        score = np.exp(-np.logaddexp(0.0, logits[None, :] - logits[:, None]))
        gradient = (won - games * score).sum(axis=1)
        weight = games * score * score.T
        hessian = np.diag(weight.sum(axis=1) + 1e-9) - weight
        # Ratings are defined up to a shift, so the Hessian is singular: an added constant fixes their mean.
        step = np.linalg.solve(hessian + games.mean() / 4, gradient)
        # Halve the step until it does not increase the loss; a full step can overshoot far from the maximum.
        while (trial := _loss(logits + step, won)) > loss and np.abs(step).max() > PRECISION:
            step = step / 2
        if trial > loss or np.abs(step).max() <= PRECISION:
            break
        logits, loss = logits + step, trial
    ratings: Float64s = (logits - logits.min()) * ELO_PER_LOGIT
    return ratings


def covariance(wins: ArrayLike, ratings: ArrayLike, smoothing: float = 0.01) -> Float64s:
    """Return the covariance [n, n] in squared Elo of `ratings` [n] that `bradley_terry` fitted to `wins`.

    It is the inverse of the Hessian of the loss, with the same `smoothing`. Ratings are defined up to a shift, so only
    differences are meaningful: that of i and j has the variance c[i, i] + c[j, j] - 2 c[i, j]. Draws vary less than
    wins and losses, so with draws the covariance is too large, never too small.
    """
    won = np.array(wins, np.float64) + smoothing
    np.fill_diagonal(won, 0.0)
    logits = np.asarray(ratings, np.float64) / ELO_PER_LOGIT
    expected = np.exp(-np.logaddexp(0.0, logits[None, :] - logits[:, None]))
    weight = (won + won.T) * expected * expected.T
    hessian = np.diag(weight.sum(axis=1)) - weight
    # A constant added to the singular Hessian fixes the mean, as in the fit; it cancels in differences.
    inverse: Float64s = np.linalg.inv(hessian + weight.mean()) * ELO_PER_LOGIT**2
    return inverse


def _loss(logits: Float64s, won: Float64s) -> float:
    """Return the negative log likelihood of `won` [n, n]."""
    return float((won * np.logaddexp(0.0, logits[None, :] - logits[:, None])).sum())
