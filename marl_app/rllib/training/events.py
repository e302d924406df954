"""Callbacks: RLlib's, and the events that a run of matches adds.

A callback answers an event with values, and the algorithm decides what becomes of them: metrics and pictures go to
TensorBoard, messages to the terminal, measurements into the run's state. A callback sets no attribute of the algorithm;
to act, it calls a method, as `snapshots.freeze`. Callbacks run in the configured order, and later ones see the effects
of earlier ones.

    on_run_start       the algorithm is built
    on_sample_request  which opponents? One callback answers, with the opponents of one request
    on_fragment        experience has arrived, and its results are in the league
    on_train_result    RLlib's: an iteration is over
    on_report          what the others answered, for those that show or store it
    on_run_end         the run ends, however it ends
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.callbacks.callbacks import RLlibCallback

from marl_app.league.alarms import Reading
from marl_app.rllib.sampling.fragments import Fragment
from marl_app.rllib.training.assignments import RunnerAssignment

if TYPE_CHECKING:
    from marl_app.rllib.training.algorithm import MatchAlgorithm

Image = NDArray[np.uint8]
"""A picture, uint8 [height, width, 3]."""


@dataclass(frozen=True)
class CallbackResult:
    """What a callback answers at an event. Everything is optional.

    metrics: curves by name; at the end of an iteration they join its report. images: pictures by name.
    messages: lines for the user. failures: counted in `health/failures`.
    anchors: anchor -> the agent's newest score against it, kept in the run's state.
    exploitability: replaces what was known of it in the run's state; None = no change.
    reading: of the league, for the alarms; kept in the run's state, the newest `keep_readings`.
    checkpoint: the newest checkpoint of the run.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    messages: Sequence[str] = ()
    failures: int = 0
    anchors: Mapping[str, dict[str, float]] = field(default_factory=dict)
    exploitability: Mapping[str, float] | None = None
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


class MatchCallback(RLlibCallback):
    """A callback of the algorithm's process. Every hook receives the algorithm, to read from."""

    def on_run_start(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> Answer:
        """After the algorithm was built, before a checkpoint is loaded."""

    def on_sample_request(
        self, *, algorithm: MatchAlgorithm, learner: str, runner: int, **kwargs: Any
    ) -> RunnerAssignment | None:
        """Return the opponents of this learner for the next fragment of env runner `runner`. One callback answers."""

    def on_fragment(self, *, algorithm: MatchAlgorithm, fragment: Fragment, **kwargs: Any) -> Answer:
        """After a fragment has arrived and was recorded, before it is trained on."""

    def on_train_result(self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any) -> Answer:
        """After an iteration; `result` is RLlib's."""

    def on_report(self, *, algorithm: MatchAlgorithm, report: RunReport, **kwargs: Any) -> None:
        """After other events: show or store what callbacks answered."""

    def on_run_end(self, *, algorithm: MatchAlgorithm, status: str, **kwargs: Any) -> Answer:
        """Once, when the run ends: `status` is finished, interrupted or failed."""


def results_of(answer: Answer) -> Iterator[CallbackResult]:
    """Yield the results in what a hook returned."""
    if isinstance(answer, CallbackResult):
        yield answer
    elif answer is not None:
        yield from answer
