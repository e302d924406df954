"""Weights & Biases: a run of this app is a run there. Offline unless WANDB_MODE or `mode` says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from marl_app.rllib.training.events import Image
from marl_app.rllib.training.tracking import TrackedRun, Tracking, check_installed

STEPS = "steps/env_steps"
MODES = ("online", "offline", "disabled")


class TrackWithWandb(Tracking):
    """Sends the run to the project `project`; the runs of a sweep are a group. An offline run is in `wandb/`.

    mode: online, offline or disabled; None: WANDB_MODE, or offline. `wandb sync DIR/wandb/offline-run-*` uploads it
    later. The x axis is env steps. A resumed run has the same id: a server joins its parts. Of a killed run the last
    seconds may be missing, which wandb's process had not written yet.
    """

    name: ClassVar[str] = "wandb"

    def __init__(self, every_seconds: float, project: str, mode: str | None) -> None:
        super().__init__(every_seconds)
        if mode not in (None, *MODES):
            raise ValueError(f"callbacks.wandb.mode={mode}: give one of {', '.join(MODES)}, or null")
        check_installed("wandb", "wandb")
        self._project = project
        self._mode = mode

    def open(self, run: TrackedRun) -> str:
        """Begin or continue the run."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # wandb reports its own crashes to its makers
        import wandb

        self._wandb = wandb
        mode: Any = self._mode or os.environ.get("WANDB_MODE", "offline")
        # With an id this continues the run of that id; without one it begins a run.
        self._run = wandb.init(
            project=self._project,
            name=run.name,
            group=run.sweep.name if run.sweep else None,
            id=run.tracker_id,
            resume="allow",
            mode=mode,
            dir=run.directory,
            config=dict(run.config),
            notes=run.start,
            settings=wandb.Settings(silent=True, console="off", disable_code=True),
        )
        # Env steps are the x axis of all curves.
        self._run.define_metric("*", step_metric=STEPS)
        return str(self._run.id)

    def log(self, metrics: Mapping[str, float], env_steps: int) -> None:
        """Send a point."""
        self._run.log({**metrics, STEPS: env_steps})

    def log_images(self, images: Mapping[str, Image], env_steps: int) -> None:
        """Send pictures."""
        self._run.log({**{key: self._wandb.Image(pixels) for key, pixels in images.items()}, STEPS: env_steps})

    def finish(self, summary: Mapping[str, Any], status: str) -> None:
        """Send the summary, and end the run; one that did not finish counts as failed."""
        self._run.summary.update({f"summary/{key}": value for key, value in summary.items()})
        self._run.finish(exit_code=0 if status == "finished" else 1)
