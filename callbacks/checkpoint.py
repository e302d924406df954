"""Writes checkpoints on a schedule and at the end."""

from __future__ import annotations

import time
from typing import Any

from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.callback import MatchCallback
from marl_app.rllib.training.checkpoint import save_checkpoint
from marl_app.rllib.training.events import CallbackResult
from marl_app.runs.references import write_run_references


class SaveCheckpoints(MatchCallback):
    """Saves a checkpoint every `every_seconds` seconds and at the end of the run, and keeps the newest `keep`.

    Match records and metrics are made durable first: the checkpoint counts on them. Afterwards the store is told which
    snapshots the run needs, so that they are not collected as garbage. A checkpoint for which the disk has no room is
    tried again after as many seconds, and the checkpoint before it stays; the last one of a run raises OSError.
    """

    def __init__(self, every_seconds: float, keep: int) -> None:
        super().__init__()
        self._every_seconds = every_seconds
        self._keep = keep
        self._saved = time.monotonic()
        self._saved_state: dict[str, Any] | None = None  # at `on_stop`

    def on_iteration_end(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> CallbackResult | None:
        """Save a checkpoint if it is due."""
        if time.monotonic() - self._saved >= self._every_seconds:
            with algorithm.disk_errors.postpone("the checkpoint"):
                return self._save(algorithm)
        return None

    def on_stop(self, *, algorithm: MatchAlgorithm, status: str, **kwargs: Any) -> CallbackResult | None:
        """Save the last weights before they are evaluated, which may take long."""
        result = self.on_run_end(algorithm=algorithm, status=status)
        self._saved_state = None if result is None else algorithm.run_state().to_json()
        return result

    def on_run_end(self, *, algorithm: MatchAlgorithm, status: str, **kwargs: Any) -> CallbackResult | None:
        """Save the end of the run, unless it failed or was interrupted in the middle of an iteration.

        Nothing is written if it was saved by `on_stop` and no evaluation has come since.
        """
        # An evaluation after `on_stop` changes the run's state, which is then saved again.
        saved = self._saved_state is not None and self._saved_state == algorithm.run_state().to_json()
        if status != "failed" and not algorithm.mid_iteration and not saved:
            return self._save(algorithm)
        return None

    def _save(self, algorithm: MatchAlgorithm) -> CallbackResult:
        try:
            # The order protects a run that is killed in between: first what the checkpoint counts on, then the
            # checkpoint, and last the list of snapshots that may not be collected.
            algorithm.events.fire("on_checkpoint")
            algorithm.records.flush()
            path = save_checkpoint(algorithm, algorithm.run_dir / "checkpoints", self._keep)
            write_run_references(algorithm.store, algorithm.run_dir, algorithm.snapshots.needed_digests)
        finally:
            # After a failure, too: the next attempt is `every_seconds` later.
            self._saved = time.monotonic()
        return CallbackResult(checkpoint=path)
