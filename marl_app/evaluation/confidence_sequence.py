"""Intervals of the mean of values in [0, 1] that hold at all sample sizes at once, by betting.

Suppose the mean is m. A bettor starts with a wealth of 1 and, before each value x, puts the share q of the wealth on x
and the rest on 1 - x, at the odds 1 / m and 1 / (1 - m), which are fair: the wealth becomes

    wealth * (x q / m + (1 - x) (1 - q) / (1 - m))

and its expectation does not change. So with probability 1 - alpha the wealth never reaches 1 / alpha, however long the
game lasts (Ville, 1939), and the values of m under which it did not yet do so are an interval that contains the true
mean at all times. Such a confidence sequence needs no assumption about the distribution besides a constant mean given
the values before, is narrower for values that vary less, and allows any rule about when to stop, even one that knows
the future (Waudby-Smith and Ramdas, 2024, "Estimating means of bounded random variables by betting"; Ryu and Bhatt,
2022, "On confidence sequences for bounded random processes via universal gambling strategies", who bet like this). A
mean that changes in turns, as those of the sides of a match, is allowed too once all turns are complete: the expected
product of the factors is then at most 1, by the inequality of arithmetic and geometric means.

The wealth is divided equally among `BETS` bets q, spaced as Jeffreys' prior. For wins and losses that is the likelihood
ratio of a Beta(1/2, 1/2) mixture. The logarithm of the wealth is convex in m, so the values of m form an interval.

Where we differ: values between two points of a grid are divided between the two in proportion, so that a sample is a
histogram. The logarithm of the factor is concave in x, so this lowers the wealth and makes the interval wider, never
too narrow. Wins, draws and losses are points of the grid.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from marl_app.league.payoff import Float64s

BETS = 500  # so many that the loss to the best bet is small up to a million values
BINS = 20  # of the grid of values; even, so that a draw is a point of it
STEPS = 16  # of the bisection: ends are exact to 2e-5, and rounded outward
EDGE = 1e-12  # means are compared as numbers in [EDGE, 1 - EDGE]


def histogram(values: ArrayLike) -> Float64s:
    """Return the counts float64 [BINS + 1] of `values` [k] in [0, 1] on the grid 0, 1 / BINS, ..., 1."""
    place = np.asarray(values, np.float64) * BINS
    below = np.minimum(place.astype(np.int64), BINS - 1)
    upper = place - below  # [k] the part of each value that the point above gets
    counts: Float64s = np.zeros(BINS + 1)
    counts += np.bincount(below, 1 - upper, BINS + 1)
    counts += np.bincount(below + 1, upper, BINS + 1)
    return counts


def mean_intervals(counts: Float64s, alpha: float) -> Float64s:
    """Return intervals float64 [s, 2] of the means of s samples, given as histograms `counts` [s, BINS + 1].

    Each of them fails to contain its mean at some sample size with a probability of at most `alpha`; [0, 1] for an
    empty sample.
    """
    total = counts.sum(axis=1)
    # At the sample's own mean no bet gains (Jensen), so the mean is in the interval, and a bisection starts there.
    mean = np.divide(counts @ np.linspace(0, 1, BINS + 1), total, out=np.full(len(counts), 0.5), where=total > 0)
    ends = []
    for end in (0.0, 1.0):
        inside, outside = mean, np.full(len(mean), end)
        for _ in range(STEPS):
            middle = (inside + outside) / 2
            refuted = log_wealth(counts, middle) >= -np.log(alpha)
            inside, outside = np.where(refuted, inside, middle), np.where(refuted, middle, outside)
        ends.append(outside)
    return np.stack(ends, axis=1)


def log_wealth(counts: Float64s, mean: Float64s) -> Float64s:
    """Return the logarithm of the final wealth [s] of betting against `mean` [s] on samples `counts` [s, BINS + 1]."""
    # Equally spaced angles are Jeffreys' prior: q = sin(angle)^2 has the density of Beta(1/2, 1/2).
    bets = np.sin((np.arange(BETS) + 0.5) * np.pi / (2 * BETS)) ** 2
    m = np.clip(mean, EDGE, 1 - EDGE)[:, None]
    # [s, bets] the logarithm of each bet's wealth: first losses (0) and wins (1), of which q and m are separate terms
    logs = np.outer(counts[:, 0], np.log1p(-bets)) + np.outer(counts[:, -1], np.log(bets))
    logs -= counts[:, :1] * np.log1p(-m) + counts[:, -1:] * np.log(m)
    for point in np.flatnonzero(counts[:, 1:-1].any(axis=0)) + 1:
        value = point / BINS
        logs += counts[:, point, None] * np.log(value * bets / m + (1 - value) * (1 - bets) / (1 - m))
    best = logs.max(axis=1, keepdims=True)  # taken out of the sum, which would overflow
    wealth: Float64s = best[:, 0] + np.log(np.exp(logs - best).mean(axis=1))
    return wealth
