"""The progress line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from marl_app.evaluation.team import TEAM
from marl_app.metrics.progress import ProgressLine
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.callback import MatchCallback
from marl_app.rllib.training.events import RunReport


class ShowProgress(MatchCallback):
    """Shows the figures of each iteration in one line, and every message above it.

    The evaluation in it is the latest against the last anchor of `evaluation.anchors` that has been played.
    """

    def __init__(self) -> None:
        super().__init__()
        self._progress: ProgressLine | None = None

    def on_report(self, *, algorithm: MatchAlgorithm, report: RunReport, **kwargs: Any) -> None:
        """Show messages, and the figures of an iteration."""
        if self._progress is None:  # not in __init__: a callback is also made to check its arguments
            self._progress = ProgressLine(team=len(algorithm.spec.sides) == 1)
        for message in report.messages:
            self._progress.message(message)
        if report.iteration:
            evaluation = _latest(algorithm.anchors, algorithm.spec.settings.evaluation.anchors)
            self._progress.update(dict(report.metrics), report.share_done, report.seconds, evaluation)

    def on_run_end(self, **kwargs: Any) -> None:
        """Leave the last line as it is."""
        if self._progress is not None:
            self._progress.close()


def _latest(found: Mapping[str, Mapping[str, float]], anchors: Sequence[str]) -> tuple[str, float] | None:
    """Return the label and the score of the evaluation to show; None before the first."""
    if TEAM in found:
        return "evaluated", found[TEAM]["agent_return"]
    # Anchors are listed from weak to strong: the last one that has been played says most.
    played = [anchor for anchor in anchors if anchor in found]
    return (played[-1], found[played[-1]]["score"]) if played else None
