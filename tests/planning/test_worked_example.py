"""A worked example: 4,000 actors, 2e8 matches of five minutes, 500 snapshots of 200 MB."""

import numpy as np
import pytest

from marl_app.league.matchmakers.uniform import Uniform
from marl_app.planning.opponents import opponents_by_age
from marl_app.planning.result import plan_league
from marl_app.planning.traffic import LEARNER, NODE, STORE, UPLINK, actor_limit
from tests.planning.sizes import size


@pytest.fixture(scope="module")
def result():
    # Every match is against a snapshot: no self-play.
    return plan_league(size(), opponents_by_age(Uniform(), "main", 500, 10.0), np.random.default_rng(0))


def by_name(result):
    return {design.name: design for design in result.designs}


def test_wall_clock(result):
    # 2e8 matches x 300 s / 4,000 actors = 1.5e7 s; / 86,400 = 173.61 days, printed as 173.6.
    assert result.size.played_s == pytest.approx(1.5e7)
    assert result.size.played_s / 86_400 == pytest.approx(173.6, abs=0.05)
    assert result.wall_clock_s == result.size.played_s  # the learner needs 4.8e11 steps / 1e5 = 4.8e6 s


def test_storage_is_100_gb_per_replica(result):
    assert result.size.replica_bytes == pytest.approx(100e9)  # 500 x 200 MB


def test_every_actor_pulling_the_whole_pool_once_is_400_tb(result):
    assert by_name(result)["a"].first_fill_bytes == pytest.approx(400e12)  # 4,000 x 100 GB
    # Afterwards each actor pulls only the new snapshot, 4,000 x 200 MB in 7,200 s, however many matches it plays.
    assert by_name(result)["a"].snapshots[STORE].value == pytest.approx(4000 * 200e6 / 7200)


def test_one_opponent_per_match_is_2_67_gb_per_second(result):
    # 4,000 x 200 MB / 300 s = 2.6667e9 bytes/s (not bits), spread over 100 uplinks and 1,000 node links.
    moved = by_name(result)["b"].snapshots
    assert moved[STORE].value == pytest.approx(2.67e9, rel=0.002)
    assert moved[UPLINK].value == pytest.approx(26.7e6, rel=0.002)
    assert moved[NODE].value == pytest.approx(2.67e6, rel=0.002)


def test_a_rack_cache_fetches_every_new_snapshot_once(result):
    # 960 requests of a rack per freeze interval, so every snapshot is requested: 100 racks x 200 MB / 7,200 s.
    assert by_name(result)["c"].snapshots[STORE].value == pytest.approx(100 * 200e6 / 7200, rel=1e-6)
    assert by_name(result)["d"].snapshots[STORE].value == by_name(result)["c"].snapshots[STORE].value
    # Published: "more than an order of magnitude less snapshot traffic"; here the factor is 960.
    assert by_name(result)["b"].snapshots[STORE].value / by_name(result)["c"].snapshots[STORE].value > 900


def test_limits(result):
    # The store's 100 Gbit/s are 12.5 GB/s. Design b takes 2.667 of snapshots, and 2.667 of weights (once per match):
    # full at 4,000 x 12.5 / 5.333 = 9,375 actors. The learner's 1e5 steps/s are 8 per actor: 12,500.
    assert actor_limit(4000, result.used["b"]) == (pytest.approx(9375), STORE)
    assert actor_limit(4000, result.used["c"]) == (pytest.approx(12_500), LEARNER)
    # A node's four actors with 100 GB each do not fit into 256 GB, whatever the number of nodes.
    assert actor_limit(4000, result.used["a"]) == (0, "node memory")
