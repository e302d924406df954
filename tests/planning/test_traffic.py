"""Properties of the designs that hold for every size."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_app.config.errors import ConfigError
from marl_app.planning.caches import Estimate, MissRates
from marl_app.planning.closed_form import miss_rate
from marl_app.planning.size import bytes_per_s
from marl_app.planning.traffic import LINKS, SHARED, STORE, actor_limit, compute_designs, utilization
from tests.planning.sizes import size

racks = st.integers(1, 50)
sizes = st.builds(
    lambda racks, nodes, actors, interval, match, snapshots: size(
        racks=racks,
        nodes=racks * nodes,
        actors=racks * nodes * actors,
        freeze_interval_s=interval,
        match_s=match,
        pool_snapshots=snapshots,
    ),
    racks, st.integers(1, 20), st.integers(1, 50), st.floats(10, 1e6), st.floats(1, 1e4), st.integers(1, 1000),
)  # fmt: skip


def whole_pool(plan, share):
    """Return the miss rates of caches that hold the whole pool: each snapshot is fetched once."""
    per_rack = plan.actors_per_rack * plan.requests_per_s(share) * plan.freeze_interval_s
    ages = np.full(plan.pool_snapshots, 1 / plan.pool_snapshots)
    rack = Estimate(miss_rate(ages, per_rack, None))
    return MissRates(rack, Estimate(miss_rate(ages, per_rack / plan.nodes_per_rack, None)), rack)


@given(sizes, st.floats(0.01, 1))
def test_the_order_of_the_designs_at_the_store(plan, share):
    a, b, c, d = (design.snapshots[STORE].value for design in compute_designs(plan, share, whole_pool(plan, share)))
    # A cache requests at most as much as the actors behind it, and no snapshot twice.
    assert b >= c * (1 - 1e-9) and a >= c * (1 - 1e-9) and c >= d * (1 - 1e-9)
    # Holding the pool moves less than fetching an opponent per match, unless matches are longer than freeze intervals.
    assert (a >= b) == (plan.match_s / share >= plan.freeze_interval_s) or a == pytest.approx(b)


@given(sizes, st.floats(0, 1))
def test_more_caches_never_move_more_over_any_link(plan, share):
    misses = whole_pool(plan, share) if share else None
    _, b, c, d = compute_designs(plan, share, misses)
    for link in LINKS:
        if link != "rack cache":  # absent in design b
            assert b.bytes_per_s(link) >= c.bytes_per_s(link) * (1 - 1e-9)
        assert c.bytes_per_s(link) >= d.bytes_per_s(link) * (1 - 1e-9)


@given(sizes, st.floats(0.01, 1))
def test_all_racks_together_receive_what_the_store_sends(plan, share):
    for design in compute_designs(plan, share, whole_pool(plan, share)):
        assert plan.racks * design.bytes_per_s("rack uplink") == pytest.approx(design.bytes_per_s(STORE))


@given(sizes, st.floats(0.01, 1))
def test_at_the_actor_limit_the_bottleneck_is_full(plan, share):
    # Large enough for a limit of thousands of racks, so that rounding to whole racks matters little.
    large = {"store_gbit_per_s": 1e9, "learner_agent_steps_per_s": 1e13, "node_gbit_per_s": 1e9}
    plan = replace(plan, **large, rack_uplink_gbit_per_s=1e9, node_memory_bytes=1e15)
    for index, design in enumerate(compute_designs(plan, share, whole_pool(plan, share))):
        actors, resource = actor_limit(plan.actors, utilization(plan, design, 1 - share))
        racks = round(plan.racks * actors / plan.actors)
        grown = {"racks": racks, "nodes": racks * plan.nodes_per_rack, "actors": racks * plan.actors // plan.racks}
        at_limit = replace(plan, **grown)
        used = utilization(at_limit, compute_designs(at_limit, share, whole_pool(at_limit, share))[index], 1 - share)
        assert used[resource] == pytest.approx(1, rel=0.51 / racks + 1e-6)
        assert all(used[other] <= 1 + 0.51 / racks + 1e-6 for other in SHARED)


def test_a_rack_that_is_too_small_gives_a_limit_of_zero():
    # 40 actors of a rack pull 40 x 200 MB / 300 s = 26.7 MB/s twice: more than 0.1 Gbit/s = 12.5 MB/s of an uplink.
    plan = size(rack_uplink_gbit_per_s=0.1)
    b = compute_designs(plan, 1.0, whole_pool(plan, 1.0))[1]
    assert actor_limit(plan.actors, utilization(plan, b, 0.0)) == (0, "rack uplink")


def test_twice_the_agents_give_twice_the_agent_steps_and_the_same_bytes():
    single, double = size(agents_per_side=1), size(agents_per_side=2)
    assert double.agent_steps(0.5) == 2 * single.agent_steps(0.5)
    assert double.batch_agent_steps(0.5) == 2 * single.batch_agent_steps(0.5)
    assert double.learned_s(0.5) == 2 * single.learned_s(0.5) and double.played_s == single.played_s
    for before, after in zip(compute_designs(single, 0.5, None), compute_designs(double, 0.5, None), strict=True):
        assert before.weights == after.weights and before.first_fill_bytes == after.first_fill_bytes


def test_self_play_trains_both_sides_and_fetches_nothing():
    # 4,000 actors x 2,400 steps / 300 s = 32,000 env steps/s; self-play trains on the steps of both sides.
    assert size().agent_steps_per_s(self_play=0.0) == pytest.approx(32_000)
    assert size().agent_steps_per_s(self_play=1.0) == pytest.approx(64_000)
    assert size(sides=1).agent_steps_per_s(self_play=1.0) == pytest.approx(
        32_000
    )  # a single side trains on all its steps
    for design in compute_designs(size(), 0.0, None):
        assert all(moved.value == 0 for moved in design.snapshots.values()) and design.first_fill_bytes == 0


def test_opponents_are_fetched_once_per_match_and_at_most_once_per_slot_and_interval():
    assert size().requests_per_s(0.2) == pytest.approx(0.2 / 300)
    env_runner = {"matches_at_once": 1024, "opponents_at_once": 16}
    assert size(**env_runner).requests_per_s(0.2) == pytest.approx(0.2 * 1024 / 300)
    # 205 of 1,024 matches are against snapshots, but the 16 slots change once in 600 s.
    assert size(**env_runner, opponent_interval_s=600).requests_per_s(0.2) == pytest.approx(16 / 600)


def test_pulled_weights_are_shared_behind_a_cache():
    # Updates every 30 s, pulls every 300 s: an actor pulls every tenth version, 40 actors together all versions but
    # 0.9^40 = 1.5 %, and many actors all of them.
    plan = size()
    assert plan.versions_per_s(1) == pytest.approx(1 / 300)
    assert plan.versions_per_s(40) == pytest.approx((1 - 0.9**40) / 30)
    assert plan.versions_per_s(10_000) == pytest.approx(1 / 30)
    # With pulls more frequent than updates, each version is pulled once.
    assert size(weights_interval_s=1.0).versions_per_s(1) == pytest.approx(1 / 30)


def test_bits_become_bytes():
    assert bytes_per_s(100) == 12.5e9


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"actors": 0}, "task.actors=0 is not allowed: give a value >= 1"),
        ({"actors": "many"}, "task.actors=many is not a whole number"),
        ({"actors": 4000.5}, "task.actors=4000.5 is not a whole number"),
        ({"match_s": None}, "task.match_s=null is not allowed"),
        ({"snapshot_bytes": float("inf")}, "task.snapshot_bytes=inf"),
        ({"agent_steps_per_env_step": 2}, "give a value > 0 and <= 1"),
        ({"racks": 2000}, "task.racks=2000 is more than task.nodes=1000"),
        ({"nodes": 5000}, "task.nodes=5000 is more than task.actors=4000"),
        ({"nodes": 950}, "task.nodes=950 is no multiple of task.racks=100: give 1000"),
    ],
)
def test_invalid_values_are_refused(changes, text):
    with pytest.raises(ConfigError) as caught:
        size(**changes)
    assert text in str(caught.value)


def test_whole_numbers_may_be_written_with_an_exponent():
    assert size(actors=4e3).actors == 4000 and isinstance(size(actors=4e3).actors, int)
