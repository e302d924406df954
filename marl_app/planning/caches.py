"""The share of requests that caches in a rack do not answer, by simulation of one rack.

Requests come one after the other, each from a random node of the rack, for a snapshot drawn by its age. A new snapshot
enters after every freeze interval and the oldest leaves. A node's cache is asked first, then its rack's; both forget
what was asked for least recently (LRU), and hold what is asked for afterwards.

The caches start full, as if they had run forever: when each snapshot was last asked for is drawn from its exact
distribution, and the most recent ones are in the cache. (For a rack's cache behind node caches this is not exact, so
the first fifth of the requests is not counted.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from marl_app.league.payoff import Floats
from marl_app.store.lru import Lru

_COUNTED, _UNCOUNTED = 160_000, 40_000  # requests
_BATCHES = 20
_STUDENT = 2.09  # 97.5 % point of Student's t with 19 degrees of freedom


@dataclass(frozen=True)
class Estimate:
    """A number and the half width of its 95 % interval; 0 where it is exact."""

    value: float
    error: float = 0.0

    def times(self, factor: float) -> Estimate:
        return Estimate(self.value * factor, self.error * factor)


@dataclass(frozen=True)
class MissRates:
    """Shares of all requests of a rack: `rack` its cache does not answer if there are no caches in the nodes; `node`
    the caches of the nodes do not answer; `both` neither these nor the rack's cache behind them."""

    rack: Estimate
    node: Estimate
    both: Estimate


def simulate_caches(
    ages: Floats,
    requests_per_interval: float,
    nodes: int,
    node_capacity: int | None,
    rack_capacity: int | None,
    rng: np.random.Generator,
) -> MissRates:
    """The miss shares of one rack of `nodes` nodes, whose capacities are in snapshots; None = the whole pool.

    `ages` [pool] is the distribution of requests over the pool, newest first; `requests_per_interval` > 0 of the whole
    rack come between two freezes. The errors are of batch means: requests that follow one another are not independent.
    """
    count = _COUNTED + _UNCOUNTED
    phase = rng.random()  # of the freeze interval in which the simulation starts
    newest = np.floor(phase + np.arange(count) / requests_per_interval).astype(np.int64)
    item = (newest - rng.choice(len(ages), count, p=ages)).tolist()
    node = rng.integers(nodes, size=count).tolist()

    last = draw_last_requests(ages, requests_per_interval / nodes, nodes, phase, rng)
    in_node = [filled_cache(node_capacity, most_recent(lags, node_capacity)) for lags in last]
    in_rack = most_recent(last.min(axis=0), rack_capacity)
    alone, behind = filled_cache(rack_capacity, in_rack), filled_cache(rack_capacity, in_rack)
    missed = np.zeros((count, 3), bool)
    for index, (wanted, where) in enumerate(zip(item, node, strict=True)):
        missed[index, 0] = not alone.request(wanted, None)
        if not in_node[where].request(wanted, None):
            missed[index, 1:] = True, not behind.request(wanted, None)
    return MissRates(*map(_estimate, missed[_UNCOUNTED:].T))


def draw_last_requests(ages: Floats, per_node: float, nodes: int, phase: float, rng: np.random.Generator) -> Floats:
    """Freeze intervals since each node last asked for snapshot -i, [nodes, i]; infinite: never.

    Snapshot -i is i + `phase` intervals old; those that have left the pool are among them. Requests of a node for it
    are a Poisson process, of so many requests as Q says (see `closed_form`) between two ages; so the number that its
    age has grown by since the last one, in units of requests, is exponential.
    """
    pool = len(ages)
    below = np.concatenate([[0.0], np.cumsum(ages)])
    age = np.arange(2 * pool) + phase
    then = np.interp(age, np.arange(pool + 1.0), below) - rng.exponential(1 / per_node, (nodes, len(age)))
    lag: Floats = age - np.interp(then, below, np.arange(pool + 1.0))
    return np.where(then >= 0, np.maximum(lag, 0.0), np.inf)


def most_recent(lags: Floats, capacity: int | None) -> list[int]:
    """The snapshots that were asked for, at most `capacity`, the least recent first."""
    order = np.argsort(lags, kind="stable")[: np.isfinite(lags).sum()][:capacity]
    return [int(-index) for index in order[::-1]]


def filled_cache(capacity: int | None, content: Iterable[int]) -> Lru[int, None]:
    """A cache of at most `capacity` snapshots (None: any number) that holds these, the least recent first."""
    cache: Lru[int, None] = Lru(capacity)
    cache.fill(content, None)
    return cache


def _estimate(missed: np.ndarray) -> Estimate:
    """The share of True; without any, the error is the upper end that n requests without a miss leave open: 3 / n."""
    means = missed.reshape(_BATCHES, -1).mean(axis=1)
    error = _STUDENT * means.std(ddof=1) / np.sqrt(_BATCHES)
    return Estimate(float(means.mean()), float(max(error, 3 / len(missed))))
