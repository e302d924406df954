"""Caches: known results, and the agreement of simulation and formula."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marl_app.league.matchmakers.pfsp import Pfsp
from marl_app.league.matchmakers.uniform import Uniform
from marl_app.planning.caches import filled_cache, simulate_caches
from marl_app.planning.closed_form import miss_rate
from marl_app.planning.opponents import opponents_by_age

POOL, NODES = 100, 5
UNIFORM = np.full(POOL, 1 / POOL)
PFSP = opponents_by_age(Pfsp(), "main", POOL, 10.0).ages
RESOLUTION = 0.004  # error of Che's approximation with capacities of a few dozen and more


def test_the_least_recent_is_evicted():
    cache = filled_cache(2, [1, 2])
    assert [cache.request(item, None) for item in (1, 3, 2, 1)] == [
        True,
        False,
        False,
        False,
    ]  # 3 evicted 2, and 2 then 1


@pytest.mark.parametrize("ages", [UNIFORM, PFSP], ids=["uniform", "pfsp"])
@pytest.mark.parametrize("per_interval", [2.0, 30.0, 3000.0])
@pytest.mark.parametrize("capacity", [10, 50, 100, None])
def test_simulation_and_formula_agree(ages, per_interval, capacity):
    found = simulate_caches(ages, per_interval, NODES, capacity, capacity, np.random.default_rng(1))
    # 1.5 times the 95 % interval, because a few of 48 comparisons are outside of the interval itself.
    for estimate, requests in ((found.rack, per_interval), (found.node, per_interval / NODES)):
        assert estimate.value == pytest.approx(
            miss_rate(ages, requests, capacity), abs=1.5 * estimate.error + RESOLUTION
        )


@pytest.mark.parametrize("per_interval", [0.01, 1.0, 50.0])
def test_a_cache_of_the_whole_pool_misses_every_snapshot_once(per_interval):
    # A snapshot gets `per_interval` requests in its life on average, and any with probability 1 - exp(-per_interval).
    expected = (1 - np.exp(-per_interval)) / per_interval
    for ages in (UNIFORM, PFSP):
        assert miss_rate(ages, per_interval, None) == pytest.approx(expected)
        # Room for snapshots that have left the pool changes nothing; the tolerance is for the truncated integral.
        assert miss_rate(ages, per_interval, 3 * POOL) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("capacity", [1, 20, 50, 99])
def test_without_turnover_a_uniform_draw_hits_what_fits(capacity):
    # With 1e9 requests between two freezes, an LRU cache holds `capacity` of the 100, all equally likely.
    assert miss_rate(UNIFORM, 1e9, capacity) == pytest.approx(1 - capacity / POOL, abs=1e-3)


@given(st.floats(0.1, 1e4), st.integers(1, 150), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_a_larger_cache_never_misses_more(per_interval, capacity, more):
    for ages in (UNIFORM, PFSP):
        small, large = miss_rate(ages, per_interval, capacity), miss_rate(ages, per_interval, capacity + more)
        assert 0 <= miss_rate(ages, per_interval, None) <= large + 0.01  # largest error of the integral
        assert large <= small + 1e-6


def test_a_larger_cache_never_misses_more_in_the_simulation():
    # LRU has the inclusion property (Mattson et al., 1970): with the same requests, a larger cache holds a smaller one.
    found = [
        simulate_caches(PFSP, 40.0, NODES, capacity, capacity, np.random.default_rng(0))
        for capacity in (5, 20, 50, 100)
    ]
    for small, large in zip(found, found[1:], strict=False):
        assert small.rack.value >= large.rack.value and small.node.value >= large.node.value
        assert (
            small.both.value >= large.both.value - large.both.error
        )  # the two caches behind nodes see different requests


def test_the_caches_start_in_their_steady_state():
    # From empty caches, 160,000 requests of 50 nodes for 100 snapshots would include 5,000 first fetches.
    found = simulate_caches(UNIFORM, 1e9, 50, None, None, np.random.default_rng(0))
    assert found.rack.value == 0 and found.node.value == 0
    assert found.rack.error == pytest.approx(3 / 160_000)  # upper end of the interval after 160,000 hits


def test_a_seed_gives_the_same_numbers():
    first, second = (simulate_caches(UNIFORM, 40.0, NODES, 20, 20, np.random.default_rng(7)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("rule", ["uniform", "pfsp"])
def test_opponents_by_age(rule):
    found = opponents_by_age({"uniform": Uniform(), "pfsp": Pfsp()}[rule], "main", 50, 10.0)
    assert found.share == pytest.approx(1) and found.ages.sum() == pytest.approx(1)
    if rule == "uniform":
        assert found.ages == pytest.approx(1 / 50)
    else:
        # The newest is 5 Elo behind (half a generation), each older one 10 Elo more; PFSP weights are (1 - win rate)^2.
        losses = 1 - 1 / (1 + 10 ** (-(np.arange(50) * 10 + 5) / 400))
        assert found.ages == pytest.approx(losses**2 / (losses**2).sum())
