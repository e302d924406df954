"""Schedules of settings over the env steps of a run, in RLlib's form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def value_at(schedule: float | Sequence[Sequence[float]], env_step: int) -> float:
    """Return a number, or the value of a schedule [[env step, value], ...] at an env step, as of entropy_coeff."""
    if isinstance(schedule, int | float):
        return schedule
    # Linear between the points, constant after the last one.
    steps, values = zip(*schedule, strict=True)
    return float(np.interp(env_step, steps, values))
