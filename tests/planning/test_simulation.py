"""The simulation of transfers: known results, agreement with the plan, and reproducibility."""

import numpy as np
import pytest

from marl_app.planning.limits import simulate_limit, with_actors
from marl_app.planning.opponents import Opponents
from marl_app.planning.result import plan_league
from marl_app.planning.simulation import Link, simulate_actors
from marl_app.planning.traffic import LINKS, STORE
from tests.planning.sizes import size

SMALL = {"actors": 400, "nodes": 50, "racks": 10, "pool_snapshots": 50}
UNIFORM = Opponents(1.0, np.full(50, 1 / 50))


def rng():
    return np.random.default_rng(3)


def test_a_link_carries_transfers_one_after_the_other():
    link = Link(8.0)  # 8 Gbit/s = 1e9 bytes/s
    assert [link.send(0.0, 1e9), link.send(0.5, 1e9), link.send(5.0, 1e9)] == [1.0, 2.0, 6.0]


@pytest.mark.parametrize("design", "abcd")
def test_the_simulated_bytes_agree_with_the_plan(design):
    """Also with small caches: 20 of 50 snapshots per rack, 10 per node."""
    planned = plan_league(size(**SMALL, rack_cache_snapshots=20, node_cache_snapshots=10), UNIFORM, rng())
    found = simulate_actors(planned.size, UNIFORM, design, 7200, rng())
    expected = next(candidate for candidate in planned.designs if candidate.name == design)
    for link in LINKS:
        # 400 actors x 24 matches: a few percent of sampling error here, and as much in the plan's miss rates.
        assert found.bytes_per_s[link] == pytest.approx(expected.bytes_per_s(link), rel=0.06)
    assert 0.99 < found.playing <= 1


def test_self_play_fetches_no_opponents():
    found = simulate_actors(size(**SMALL), Opponents(0.0, UNIFORM.ages), "c", 3600, rng())
    assert found.requests == 0 and not any(found.snapshots.values()) and found.bytes_per_s[STORE] > 0


def test_the_same_seed_gives_the_same_result():
    assert simulate_actors(size(**SMALL), UNIFORM, "d", 600, rng()) == simulate_actors(
        size(**SMALL), UNIFORM, "d", 600, rng()
    )


def test_an_overloaded_link_sends_at_full_bandwidth_and_actors_wait():
    """0.4 Gbit/s = 50 MB/s for 400 actors that need 2 x 200 MB per 300 s = 533 MB/s."""
    found = simulate_actors(size(**SMALL, store_gbit_per_s=0.4), UNIFORM, "b", 36_000, rng())
    assert found.bytes_per_s[STORE] == pytest.approx(50e6, rel=0.02)
    assert found.playing == pytest.approx(50 / 533.3, rel=0.05)
    assert found.fetch_s > 2000


def test_the_limit_of_one_opponent_without_caches_follows_by_arithmetic():
    # An actor's 2 x 200 MB per 300 s are 1.333 MB/s: 1 Gbit/s = 125 MB/s is enough for 93.75 of them.
    found = simulate_limit(size(**SMALL, store_gbit_per_s=1.0), UNIFORM, "b", 93.75, 10_000, 3600, rng())
    # Racks have 40 actors each, so the simulations around the limit have 40 and 160 actors.
    assert [step.actors for step in found.steps] == [40, 160]
    assert found.steps[0].playing > 0.98 and found.actors == pytest.approx(93.75, rel=0.03)


def test_no_limit_is_found_below_it():
    found = simulate_limit(size(**SMALL), UNIFORM, "c", 75_000, 400, 600, rng())
    assert found.actors is None and [step.actors for step in found.steps] == [400]
    assert with_actors(size(**SMALL), 79).racks == 2


@pytest.mark.parametrize("tolerance", [0.1, 0.3])
def test_placement_raises_the_hit_rate_of_racks_that_hold_a_part_of_the_pool(tolerance):
    """20 of 50 snapshots are cached: the hit rate rises from 0.4 to 0.4 + 0.6 t, the store sends 1 - t as much."""
    small = size(**SMALL, rack_cache_snapshots=20, freeze_interval_s=1e6)
    exact = simulate_actors(small, UNIFORM, "c", 14_400, rng())
    found = simulate_actors(small, UNIFORM, "c", 14_400, rng(), tolerance)
    assert exact.distortion == 0.0 and exact.hit_rate == pytest.approx(0.4, abs=0.02)
    assert found.hit_rate == pytest.approx(0.4 + tolerance * 0.6, abs=0.02)
    assert found.snapshots[STORE] == pytest.approx((1 - tolerance) * exact.snapshots[STORE], rel=0.04)
    assert found.distortion == pytest.approx(tolerance * 0.6, rel=0.02)
    assert found.distortion_of_all < 0.3 * found.distortion  # racks hold different snapshots
