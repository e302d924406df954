"""All metrics: key, meaning and unit. `docs/metrics.md` is generated from this file.

A key is `prefix/name`; a part in braces stands for any name without a slash. The x axis of the curves in TensorBoard is
`steps/env_steps`; under `circle/` it is the round, and under `cross_play/` the agent steps that the player had trained
on. Rates per second are wall-clock averages over one iteration. A point is the mean of the iterations since the point
before (`averages.py`), and of a total its last value.

TensorBoard sorts groups by name, and opens the first two. So that these say how good the agent is (`evaluation`,
`league`), other groups have names that come later (`CURVE_GROUPS`); alarms and counts of failures are curves from their
first value other than 0; the ends of intervals are below `uncertainty`; and what is of use in computations only is not
a curve. `progress.jsonl` always has all of it, under the keys that are here.
"""

from __future__ import annotations

import re
from functools import cache

from marl_app.metrics.league_metrics import LEAGUE
from marl_app.metrics.metric import Metric
from marl_app.metrics.system_metrics import SYSTEM
from marl_app.metrics.task_metrics import TASKS
from marl_app.metrics.training_metrics import TRAINING

METRICS = (
    *TRAINING,
    *LEAGUE,
    *TASKS,
    *SYSTEM,
    Metric("custom/{name}", "A metric reported and documented by a user's callback.", "as documented there"),
)
"""All metrics in the order of docs/metrics.md."""

CURVE_GROUPS = {"alarms": "warnings", "exploration": "sampling", "health": "warnings"}
"""The groups in TensorBoard of metrics whose prefix would come before `evaluation` or between it and `league`."""


@cache
def find_metric(key: str) -> Metric:
    """Return the metric of `key`; exact keys take precedence over patterns. Raises KeyError for an unknown key."""
    for metric in METRICS:
        if metric.key == key:
            return metric
    # A part in braces becomes a regular expression for any name without a slash or braces.
    for metric in METRICS:
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/{}]+", re.escape(metric.key)), key):
            return metric
    raise KeyError(
        f"unknown metric {key!r}: name it custom/<name>, or add it with meaning and unit to the metrics that "
        "marl_app/metrics/names.py joins"
    )


def check_key(key: str) -> None:
    """Raise KeyError if `key` is not documented here."""
    find_metric(key)


def curve_name(key: str) -> str:
    """Return the name of a metric's curve in TensorBoard: its key, but for `CURVE_GROUPS` and the ends of intervals.

    The end of an interval is `uncertainty/...`.
    """
    prefix, _, name = key.partition("/")
    measured, _, end = name.rpartition("/")
    if prefix == "evaluation" and end in ("low", "high"):
        return f"uncertainty/{measured}/{end}"
    return f"{CURVE_GROUPS[prefix]}/{name}" if prefix in CURVE_GROUPS else key
