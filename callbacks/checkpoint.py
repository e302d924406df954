"""Writes checkpoints on a schedule and at the end."""

from __future__ import annotations

import time
from typing import Any

from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.checkpoint import save
from marl_app.rllib.training.events import MatchCallback
from marl_app.rllib.training.postponed import postponed
from marl_app.store.garbage import write_run_references


class SaveCheckpoints(MatchCallback):
    """A checkpoint every `every_seconds` seconds and at the end of the run; the newest `keep` stay.

    Match records are flushed first, so that what a checkpoint remembers is on disk with it. Afterwards the store is
    told which snapshots the run needs, so that nobody collects them as garbage. One that finds no room on the disk is
    made again after as many seconds, and the one before stays; the last one of a run raises OSError.
    """

    def __init__(self, every_seconds: float, keep: int) -> None:
        super().__init__()
        self._every_seconds = every_seconds
        self._keep = keep
        self._saved = time.monotonic()

    def on_train_result(self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any) -> None:
        """Save if it is time."""
        if time.monotonic() - self._saved >= self._every_seconds:
            with postponed(algorithm, "the checkpoint"):
                self._save(algorithm)

    def on_run_end(self, *, algorithm: MatchAlgorithm, status: str, **kwargs: Any) -> None:
        """Save the end; unless the run failed or was interrupted at once: then the last checkpoint stays the newest."""
        if status != "failed" and not algorithm.mid_iteration:
            self._save(algorithm)

    def _save(self, algorithm: MatchAlgorithm) -> None:
        try:
            algorithm.records.flush()
            algorithm.checkpoint = save(algorithm, algorithm.run_dir / "checkpoints", self._keep)
            write_run_references(algorithm.store, algorithm.run_dir, algorithm.needed)
        finally:
            self._saved = time.monotonic()
