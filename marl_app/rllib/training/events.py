"""What callbacks and the algorithm exchange at events: the results of a hook, and the report of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marl_app.league.alarms import Reading

Image = NDArray[np.uint8]
"""A picture, uint8 [height, width, 3]."""


@dataclass(frozen=True)
class CallbackResult:
    """What a callback answers at an event. Everything is optional.

    metrics: curves by name; at the end of an iteration they join its report. images: pictures by name.
    messages: lines for the user. failures: counted in `health/failures`.
    anchors: anchor -> the agent's newest score against it, kept in the run's state.
    exploitability: replaces what was known of it in the run's state; None = no change.
    value_preserving_moves: likewise, in solved positions.
    reading: of the league, for the alarms; kept in the run's state, the newest `keep_readings`.
    checkpoint: the newest checkpoint of the run.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    messages: Sequence[str] = ()
    failures: int = 0
    anchors: Mapping[str, dict[str, float]] = field(default_factory=dict)
    exploitability: Mapping[str, float] | None = None
    value_preserving_moves: Mapping[str, float] | None = None
    reading: Reading | None = None
    keep_readings: int = 0
    checkpoint: Path | None = None


Answer = CallbackResult | Iterator[CallbackResult] | None
"""What a hook returns: nothing, one result, or (as a generator) several, each of which takes effect at once."""


@dataclass(frozen=True)
class RunReport:
    """What there is to show and to store. `iteration`: whether these are the metrics of a whole iteration.

    `share_done`: how much of the run is over, in [0, 1]; None if the run has no limit. `seconds`: of training so far.
    """

    env_steps: int
    metrics: Mapping[str, float]
    images: Mapping[str, Image]
    messages: Sequence[str]
    iteration: bool
    share_done: float | None
    seconds: float


def results_of(answer: Answer) -> Iterator[CallbackResult]:
    """Yield the results in what a hook returned."""
    if isinstance(answer, CallbackResult):
        yield answer
    elif answer is not None:
        yield from answer
