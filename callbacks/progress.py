"""The progress line."""

from __future__ import annotations

from typing import Any

from marl_app.metrics.progress import Progress
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.events import MatchCallback


class ShowProgress(MatchCallback):
    """Shows each iteration's figures, and every message above them."""

    def on_algorithm_init(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> None:
        """Start the line."""
        self._progress = Progress()

    def on_train_result(self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any) -> None:
        """Show the newest figures."""
        self._progress.update(algorithm.report, *algorithm.share_done())

    def on_message(self, *, text: str, **kwargs: Any) -> None:
        """A line that stays."""
        self._progress.message(text)

    def on_run_end(self, **kwargs: Any) -> None:
        """Let the line stand."""
        self._progress.close()
