"""The miss rate of one LRU cache by a formula: Che, Tung and Wang (2002), "Hierarchical Web caching systems".

Their approximation: an LRU cache of capacity C holds exactly the items requested within a fixed window before now, its
characteristic time; the window is long enough that C different items are requested in it. Where we differ: the items
change. A snapshot enters with every freeze, ages, and is requested by its age; a snapshot that has left the pool stays
in the cache until the window has passed its last request.

With ages x in freeze intervals, Q(x) the share of requests for snapshots younger than x, and r requests per interval,
the expected number of requests for a snapshot of age x within a window of w intervals is r (Q(x) - Q(x - w)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from marl_app.league.payoff import Float64s

_POINTS = 8  # grid points of the integrals per freeze interval


def miss_rate(ages: ArrayLike, requests_per_interval: float, capacity: float | None) -> float:
    """Return the miss rate of a cache of `capacity` snapshots; None = the whole pool.

    `ages` [pool] is the distribution of requests over the pool, newest first (equal for a uniform draw);
    `requests_per_interval` > 0 counts the cache's requests in a freeze interval.
    """
    q = np.asarray(ages, np.float64)
    r = float(requests_per_interval)
    if capacity is None:
        # Each snapshot gets r expected requests in its life, and one miss if it is requested at all.
        return float(-np.expm1(-r) / r) if r else 1.0  # r underflows to 0 for tiny rates
    # Find the window by doubling, then by bisection: 60 halvings exhaust the precision of a float.
    low, high = 0.0, 1.0
    while _cached(q, r, high) < capacity and high < 1e12:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _cached(q, r, middle) < capacity else (low, middle)
    x = _grid(len(q), high)
    # [k] probability that a snapshot of age x was not requested within the window before
    absent = np.exp(-r * (_below(q, x) - _below(q, x - high)))
    # Miss rate = integral of absent(x) dQ(x), by the trapezoidal rule.
    return float(np.clip(np.sum((absent[1:] + absent[:-1]) / 2 * np.diff(_below(q, x))), 0.0, 1.0))


def _cached(q: Float64s, r: float, window: float) -> float:
    """Return the expected number of different snapshots requested within a window of `window` intervals."""
    x = _grid(len(q), window)
    present = -np.expm1(-r * (_below(q, x) - _below(q, x - window)))
    return float(np.trapezoid(present, x))


def _below(q: Float64s, x: Float64s) -> Float64s:
    """Return Q(x), [k]: the share of requests for snapshots younger than x."""
    below: Float64s = np.interp(x, np.arange(len(q) + 1.0), np.concatenate([[0.0], np.cumsum(q)]))
    return below


def _grid(pool: int, window: float) -> Float64s:
    """Return the ages of the integration grid, dense where the integrand changes quickly: near 0 and near `window`."""
    whole = np.linspace(0.0, pool, _POINTS * pool + 1)
    fine = np.geomspace(1e-9, 1.0, 200)
    return np.unique(np.concatenate([whole, whole + window, fine, fine + window, window - fine[fine < window]]))
