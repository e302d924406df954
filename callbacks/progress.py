"""The progress line."""

from __future__ import annotations

from typing import Any

from marl_app.metrics.progress import ProgressLine
from marl_app.rllib.training.callback import MatchCallback
from marl_app.rllib.training.events import RunReport


class ShowProgress(MatchCallback):
    """Shows the figures of each iteration in one line, and every message above it."""

    def __init__(self) -> None:
        super().__init__()
        self._progress: ProgressLine | None = None

    def on_report(self, *, report: RunReport, **kwargs: Any) -> None:
        """Show messages, and the figures of an iteration."""
        if self._progress is None:  # not in __init__: a callback is also made to check its arguments
            self._progress = ProgressLine()
        for message in report.messages:
            self._progress.message(message)
        if report.iteration:
            self._progress.update(dict(report.metrics), report.share_done, report.seconds)

    def on_run_end(self, **kwargs: Any) -> None:
        """Leave the last line as it is."""
        if self._progress is not None:
            self._progress.close()
