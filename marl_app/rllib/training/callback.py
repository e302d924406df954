"""Callbacks: RLlib's, and the events that a run of matches adds.

A callback answers an event with values, and the algorithm decides what becomes of them: metrics and pictures go to
TensorBoard, messages to the terminal, measurements into the run's state. A callback sets no attribute of the
algorithm; to act, it calls a method, as `snapshots.freeze`. At each event callbacks run in the configured order, and
later ones see the effects of earlier ones: a callback after `league` sees the freezes of the iteration. `on_report`
comes after all other events of an iteration, so that what a callback answers is logged wherever it stands.

    on_run_start       the algorithm is built
    on_sample_request  which opponents? One callback answers, with the opponents of one request
    on_fragment        experience has arrived, and its results are in the league
    on_train_result    RLlib's: an iteration is over
    on_report          what the others answered, for those that show or store it
    on_iteration_end   the iteration is reported
    on_evaluate        RLlib's `evaluate()`: measure the agent as it is now
    on_checkpoint      a checkpoint is about to be written: make durable what it counts on
    on_stop            training is over: save first what the end of the run could lose
    on_run_end         the run ends, however it ends
"""

from __future__ import annotations

from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback

from marl_app.rllib.sampling.fragments import Fragment
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.assignments import RunnerAssignment
from marl_app.rllib.training.events import Answer, RunReport


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

    def on_iteration_end(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> Answer:
        """After the iteration was reported."""

    def on_evaluate(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> Answer:
        """At `Algorithm.evaluate()`: measure the agent as it is now, and wait for the results."""

    def on_checkpoint(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> None:
        """Before a checkpoint is written: make durable what it counts on."""

    def on_stop(self, *, algorithm: MatchAlgorithm, status: str, **kwargs: Any) -> Answer:
        """Once, after training and before `on_run_end`: `status` is finished, interrupted or failed."""

    def on_run_end(self, *, algorithm: MatchAlgorithm, status: str, **kwargs: Any) -> Answer:
        """Once, when the run ends: `status` is finished, interrupted or failed."""
