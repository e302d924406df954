"""Cache miss rates, by simulation of one rack.

Requests come one after the other, each from a random node of the rack, for a snapshot drawn by its age. A new snapshot
enters after every freeze interval and the oldest leaves. A request goes to the node's cache, and after a miss to the
rack's; both evict the least recently used snapshot (LRU) and hold every snapshot after its request.

The caches start in their steady state: the time of each snapshot's last request is drawn from its exact distribution,
and the most recent ones are in the cache. (For a rack's cache behind node caches this is an approximation, so the first
fifth of the requests is not counted.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from marl_app.league.payoff import Float64s
from marl_app.store.lru import Lru

_COUNTED, _UNCOUNTED = 160_000, 40_000  # requests
_BATCHES = 20  # of batch means
_STUDENT = 2.09  # 97.5 % point of Student's t with 19 degrees of freedom


@dataclass(frozen=True)
class Estimate:
    """A number and the half width of its 95 % interval; 0 for an exact number."""

    value: float
    error: float = 0.0

    def times(self, factor: float) -> Estimate:
        return Estimate(self.value * factor, self.error * factor)


@dataclass(frozen=True)
class MissRates:
    """Miss rates, as shares of all requests of a rack.

    rack: misses of the rack's cache, without caches in the nodes. node: misses of the caches in the nodes. both: misses
    of the node's cache and of the rack's cache behind it.
    """

    rack: Estimate
    node: Estimate
    both: Estimate


def simulate_caches(
    ages: Float64s,
    requests_per_interval: float,
    nodes: int,
    node_capacity: int | None,
    rack_capacity: int | None,
    rng: np.random.Generator,
) -> MissRates:
    """Return the miss rates of one rack of `nodes` nodes. Capacities are in snapshots; None = the whole pool.

    `ages` [pool] is the distribution of requests over the pool, newest first; `requests_per_interval` > 0 counts the
    requests of the whole rack between two freezes. Errors come from batch means, because successive requests are
    correlated.
    """
    count = _COUNTED + _UNCOUNTED
    phase = rng.random()  # of the freeze interval in which the simulation starts
    # [count] int64 each: the newest snapshot at the time of the request, the requested snapshot, the requesting node.
    # Snapshots are numbered by freeze; those from before the simulation are 0, -1, -2, ...
    newest = np.floor(phase + np.arange(count) / requests_per_interval).astype(np.int64)
    snapshot = (newest - rng.choice(len(ages), count, p=ages)).tolist()
    node = rng.integers(nodes, size=count).tolist()

    last = draw_last_requests(ages, requests_per_interval / nodes, nodes, phase, rng)
    node_caches = [filled_cache(node_capacity, most_recent(lags, node_capacity)) for lags in last]
    rack_content = most_recent(last.min(axis=0), rack_capacity)
    # The rack's cache without node caches, and the rack's cache behind them, see the same random requests.
    alone, behind = filled_cache(rack_capacity, rack_content), filled_cache(rack_capacity, rack_content)
    missed = np.zeros((count, 3), bool)  # [request, (rack, node, both)]
    for index, (requested, where) in enumerate(zip(snapshot, node, strict=True)):
        missed[index, 0] = not alone.request(requested, None)
        if not node_caches[where].request(requested, None):
            missed[index, 1:] = True, not behind.request(requested, None)
    return MissRates(*map(_estimate, missed[_UNCOUNTED:].T))


def draw_last_requests(ages: Float64s, per_node: float, nodes: int, phase: float, rng: np.random.Generator) -> Float64s:
    """Draw the freeze intervals since each node last requested snapshot -i, [nodes, 2 pool]; infinite = never.

    Snapshot -i is i + `phase` intervals old; snapshots that have left the pool are included. A node's requests for it
    are a Poisson process with `per_node` (Q(y) - Q(x)) requests between the ages x and y (Q as in `closed_form`). So
    `per_node` times the growth of Q since the last request is exponential with mean 1, and inverting Q gives its time.
    """
    pool = len(ages)
    below = np.concatenate([[0.0], np.cumsum(ages)])  # Q at the ages 0, 1, ..., pool
    age = np.arange(2 * pool) + phase  # [2 pool], in freeze intervals
    # [nodes, 2 pool]: Q at the age of the last request; negative: before the snapshot existed
    then = np.interp(age, np.arange(pool + 1.0), below) - rng.exponential(1 / per_node, (nodes, len(age)))
    lag: Float64s = age - np.interp(then, below, np.arange(pool + 1.0))
    return np.where(then >= 0, np.maximum(lag, 0.0), np.inf)


def most_recent(lags: Float64s, capacity: int | None) -> list[int]:
    """Return the most recently requested snapshots, at most `capacity`, the least recent first."""
    # `isfinite` drops the snapshots that were never requested.
    order = np.argsort(lags, kind="stable")[: np.isfinite(lags).sum()][:capacity]
    return [int(-index) for index in order[::-1]]


def filled_cache(capacity: int | None, content: Iterable[int]) -> Lru[int, None]:
    """Return a cache of at most `capacity` snapshots (None = unlimited) with this content, the least recent first."""
    cache: Lru[int, None] = Lru(capacity)
    cache.fill(content, None)
    return cache


def _estimate(missed: np.ndarray) -> Estimate:
    """Return the share of True with its error.

    Without any miss the error is 3 / n, the upper end of the 95 % interval after n requests without a miss.
    """
    means = missed.reshape(_BATCHES, -1).mean(axis=1)
    error = _STUDENT * means.std(ddof=1) / np.sqrt(_BATCHES)
    return Estimate(float(means.mean()), float(max(error, 3 / len(missed))))
