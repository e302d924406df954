"""The miss share of one LRU cache by a formula: Che, Tung and Wang (2002), "Hierarchical Web caching systems".

Their approximation: an LRU cache that holds C items holds exactly those that were asked for within a fixed window
before now, its characteristic time; the window is as long as it takes until C different items are asked for. Where we
differ: the items change. A snapshot enters with every freeze and grows older, and is asked for by its age; one that has
left the pool stays in the cache until the window has passed it.

With ages x in freeze intervals, Q(x) the share of requests that go to snapshots younger than x, and r requests per
interval, a snapshot of age x is asked for r (Q(x) - Q(x - w)) times, on average, within a window of w intervals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from marl_app.league.payoff import Floats

_POINTS = 8  # of the integrals, per freeze interval


def miss_rate(ages: ArrayLike, requests_per_interval: float, capacity: float | None) -> float:
    """Share of requests that a cache of `capacity` snapshots does not answer; None = whatever is in the pool.

    `ages` [pool] is the distribution of requests over the pool, newest first; `requests_per_interval` > 0 of the
    cache come in a freeze interval. A uniform draw is the special case of equal `ages`.
    """
    q = np.asarray(ages, np.float64)
    r = float(requests_per_interval)
    if capacity is None:
        # Every snapshot is missed once, if it is asked for at all in its life, in which r requests go to it.
        return float(-np.expm1(-r) / r) if r else 1.0  # r may be too small for a float
    low, high = 0.0, 1.0
    while _held(q, r, high) < capacity and high < 1e12:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _held(q, r, middle) < capacity else (low, middle)
    x = _grid(len(q), high)
    absent = np.exp(-r * (_below(q, x) - _below(q, x - high)))
    return float(np.clip(np.sum((absent[1:] + absent[:-1]) / 2 * np.diff(_below(q, x))), 0.0, 1.0))


def _held(q: Floats, r: float, window: float) -> float:
    """How many different snapshots are asked for within a window of so many intervals."""
    x = _grid(len(q), window)
    held = -np.expm1(-r * (_below(q, x) - _below(q, x - window)))
    return float(np.trapezoid(held, x))


def _below(q: Floats, x: Floats) -> Floats:
    """Q(x), [k]."""
    below: Floats = np.interp(x, np.arange(len(q) + 1.0), np.concatenate([[0.0], np.cumsum(q)]))
    return below


def _grid(pool: int, window: float) -> Floats:
    """Ages at which to evaluate, dense where requests per age can change quickly: at birth and at each freeze."""
    whole = np.linspace(0.0, pool, _POINTS * pool + 1)
    fine = np.geomspace(1e-9, 1.0, 200)
    return np.unique(np.concatenate([whole, whole + window, fine, fine + window, window - fine[fine < window]]))
