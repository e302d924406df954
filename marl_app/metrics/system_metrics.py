"""Metrics of alarms, the control plane, the data plane and failures. See `names.py`."""

from __future__ import annotations

from marl_app.metrics.metric import NEVER, NONZERO, Metric

SYSTEM = (
    # Alarms: possible problems of the league.
    Metric(
        "alarms/forgetting",
        "1 while win rates against some snapshots are clearly lower than before, else 0.",
        "1",
        is_total=True,
        curve=NONZERO,
    ),
    Metric(
        "alarms/inflation",
        "1 while the Elo has risen but the score against anchors or old snapshots has not, else 0.",
        "1",
        is_total=True,
        curve=NONZERO,
    ),
    Metric(
        "alarms/cycling",
        "1 while the pool's cyclic share is clearly higher than before, else 0.",
        "1",
        is_total=True,
        curve=NONZERO,
    ),
    Metric(
        "alarms/stale_pairs",
        "1 while many snapshots have had no match for long, so that win rates are outdated, else 0.",
        "1",
        is_total=True,
        curve=NONZERO,
    ),
    Metric(
        "alarms/collapsed_diversity",
        "1 while a large pool is hardly more diverse than a single player, else 0.",
        "1",
        is_total=True,
        curve=NONZERO,
    ),
    # Cost of assignments.
    Metric(
        "control_plane/assignments_per_s",
        "Assignments of opponents to env runners per second of the league's computing time: the capacity of one core.",
        "assignments/s",
        curve=NEVER,
    ),
    Metric("control_plane/assignment_bytes", "Mean size of an assignment as a message.", "bytes", curve=NEVER),
    # Transfers of opponents from the store to env runners.
    Metric(
        "snapshots/{link}/bytes",
        "Bytes of opponents transferred over a link: store_to_runner (bypassing the caches), store_to_rack, "
        "rack_to_node, or node_to_runner (from shared memory into a slot).",
        "bytes",
    ),
    Metric("snapshots/{link}/count", "Number of opponents transferred over the link.", "snapshots"),
    Metric(
        "snapshots/hit_rate",
        "Hit rate of the rack caches: share of the requests for opponents that they served from memory.",
        "share",
    ),
    Metric("snapshots/fetch_ms", "Mean time from the request for an opponent to its verified bytes.", "ms"),
    Metric("snapshots/wait_share", "Share of the env runners' time in which matches waited for opponents.", "share"),
    Metric(
        "snapshots/slot_bytes",
        "Weights of opponents, without guests of another architecture, in the env runner that holds the most.",
        "bytes",
    ),
    Metric(
        "snapshots/runner_private_bytes",
        "Private memory of the env runner with the most of it (of the driver, if it has no env runners).",
        "bytes",
    ),
    Metric(
        "snapshots/corrupt",
        "Opponents that were discarded because their bytes did not match their digest.",
        "1",
        curve=NONZERO,
    ),
    Metric(
        "snapshots/bypassed",
        "Opponents read from the store because the rack's cache was unavailable.",
        "1",
        curve=NONZERO,
    ),
    Metric(
        "snapshots/failed",
        "Opponents that could not be fetched, so that matches continued without them.",
        "1",
        curve=NONZERO,
    ),
    Metric(
        "snapshots/queued",
        "Snapshots in the outbox, to be stored when the store responds again.",
        "snapshots",
        curve=NONZERO,
    ),
    # Failures.
    Metric(
        "health/env_runner_restarts",
        "Env runners restarted after a failure, so far.",
        "restarts",
        is_total=True,
        curve=NONZERO,
    ),
    Metric(
        "health/failures",
        "Exceptions after which training continued, so far.",
        "failures",
        is_total=True,
        curve=NONZERO,
    ),
    Metric(
        "health/nonfinite",
        "NaN or infinite metric values, which are missing in their curves, so far.",
        "values",
        is_total=True,
        curve=NONZERO,
    ),
    # Each start of the run.
    Metric("run/start", "Command, commit, versions and machine of each start of the run.", "text"),
)
