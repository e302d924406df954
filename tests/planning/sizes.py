"""A league size of round numbers, whose results can be computed by hand."""

from typing import Any

from marl_app.planning.size import Size

BY_HAND = {
    "actors": 4000,
    "matches_at_once": 1,
    "matches": 2e8,
    "match_s": 300.0,
    "match_env_steps": 2400.0,
    "sides": 2,
    "agents_per_side": 1,
    "agent_steps_per_env_step": 1.0,
    "snapshot_bytes": 200e6,
    "pool_snapshots": 500,
    "freeze_interval_s": 7200.0,
    "elo_per_generation": 10.0,
    "update_interval_s": 30.0,
    "weights_interval_s": None,
    "opponent_interval_s": None,
    "opponents_at_once": 1,
    "racks": 100,
    "nodes": 1000,
    "rack_cache_snapshots": None,
    "node_cache_snapshots": None,
    "node_memory_bytes": 256e9,
    "store_gbit_per_s": 100.0,
    "rack_uplink_gbit_per_s": 40.0,
    "node_gbit_per_s": 10.0,
    "learner_agent_steps_per_s": 1e5,
}


def size(**changes: Any) -> Size:
    return Size(**{**BY_HAND, **changes})
