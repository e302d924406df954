"""Trackers of experiments (Weights & Biases, MLflow, a CSV file): what they have in common.

A tracker is shown what TensorBoard is shown: the configuration, averaged metrics over env steps, pictures, and at the
end the values of `summary.json`. It is a second copy: if it fails, training goes on without it.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from marl_app.config.errors import first_line
from marl_app.config.flatten import flatten
from marl_app.durable import write_durably
from marl_app.metrics.averages import Averages
from marl_app.rllib.training.about import run_config, start_text
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.callback import MatchCallback
from marl_app.rllib.training.events import Image, RunReport
from marl_app.rllib.training.summary import run_summary
from marl_app.runs.choices import sweep_folder

logger = logging.getLogger(__name__)


NEW, OPEN, CLOSED = "new", "open", "closed"


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker gets when it opens a run.

    directory: of the run. sweep: the folder of its sweep, or None. name: of the run. config: see `about`.
    start: command, commit, versions and machine, as Markdown.
    env_steps: at which the run goes on; 0 for a new one. tracker_id: what `open` returned before; None for a new run.
    """

    directory: Path
    sweep: Path | None
    name: str
    config: Mapping[str, Any]
    start: str
    env_steps: int
    tracker_id: str | None


class Tracking(MatchCallback):
    """Hands a run to a tracker: a point every `every_seconds`, averaged over the iterations since the point before.

    A subclass implements the four methods below. After an exception in one of them the user is warned once, and the
    tracker receives nothing more until the run is resumed. What a killed run has sent after its last checkpoint cannot
    be taken back: a resumed run sends nothing until it is past it.
    """

    name: ClassVar[str]
    """The option of `conf/callbacks`, and the package that the tracker needs."""

    def __init__(self, every_seconds: float) -> None:
        super().__init__()
        if every_seconds < 0:
            raise ValueError(f"callbacks.{self.name}.every_seconds={every_seconds}: give at least 0")
        self._every_seconds = every_seconds
        self._averages = Averages()
        self._sent_at = float("-inf")
        self._known_steps = -1  # the env steps up to which the tracker knows the run that is resumed
        self._id: str | None = None
        self._state = NEW

    def open(self, run: TrackedRun) -> str | None:
        """Open a run, or continue it if it has a `tracker_id`; return its id. None: the tracker needs none."""
        raise NotImplementedError

    def log(self, metrics: Mapping[str, float], env_steps: int) -> None:
        """Take a point: finite values by the keys of `metrics/names.py`."""
        raise NotImplementedError

    def log_images(self, images: Mapping[str, Image], env_steps: int) -> None:
        """Take pictures, uint8 [height, width, 3], by the keys of `metrics/names.py`."""
        raise NotImplementedError

    def finish(self, summary: Mapping[str, Any], status: str) -> None:
        """Take `summary.json` by dotted key, without paths, and close. status: finished, interrupted or failed."""
        raise NotImplementedError

    def on_report(self, *, algorithm: MatchAlgorithm, report: RunReport, **kwargs: Any) -> None:
        """Send metrics and pictures."""
        # Iterations are averaged into points; other reports, such as an evaluation's, are sent as they come.
        if report.iteration:
            self._averages.add(report.metrics)
            if time.monotonic() - self._sent_at >= self._every_seconds:
                self._send_averages(algorithm)
        elif report.metrics:
            self._send(algorithm, report.metrics, report.env_steps)
        if report.images and self._is_open(algorithm) and report.env_steps > self._known_steps:
            self._try(algorithm, self.log_images, report.images, report.env_steps)

    def on_checkpoint(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> None:
        """Send the iterations since the last point, which a resumed run does not repeat."""
        self._send_averages(algorithm)

    def on_run_end(self, *, algorithm: MatchAlgorithm, status: str, **kwargs: Any) -> None:
        """Send the last point and the summary."""
        self._send_averages(algorithm)
        # A run that ends before its first point was never opened, and has nothing to finish.
        if self._state == OPEN:
            summary = {key: value for key, value in flatten(run_summary(algorithm, status)) if key != "checkpoint"}
            self._try(algorithm, self.finish, summary, status)
        self._state = CLOSED

    def _send_averages(self, algorithm: MatchAlgorithm) -> None:
        if self._averages:
            self._sent_at = time.monotonic()
            values = self._averages.pop()
            self._send(algorithm, values, int(values["steps/env_steps"]))

    def _send(self, algorithm: MatchAlgorithm, metrics: Mapping[str, float], env_steps: int) -> None:
        """Send a point, and note how far the tracker is."""
        if self._is_open(algorithm) and env_steps > self._known_steps:
            finite = {key: float(value) for key, value in metrics.items() if math.isfinite(value)}
            # First the point, then the note: a process killed in between sends the point twice rather than never.
            self._try(algorithm, self.log, finite, env_steps)
            self._try(algorithm, self._note, algorithm.run_dir, env_steps)

    def _is_open(self, algorithm: MatchAlgorithm) -> bool:
        """Open the run late, at the first point: only then is it known from which step a resumed run goes on."""
        if self._state == NEW:
            self._state = OPEN
            self._try(algorithm, self._open, algorithm)
        return self._state == OPEN

    def _open(self, algorithm: MatchAlgorithm) -> None:
        # Env steps before the first iteration of this process. A new run has 0, and ignores what an earlier one noted.
        env_steps, directory = algorithm.counters.env_steps - algorithm.stats.env_steps, algorithm.run_dir
        noted = self._noted(directory) if env_steps else {}
        self._known_steps = noted.get("env_steps", -1)
        spec, sweep = algorithm.spec, sweep_folder(directory)
        name = directory.name if sweep else f"{spec.settings.name} {directory.name}"
        self._id = self.open(
            TrackedRun(directory, sweep, name, run_config(spec), start_text(spec), env_steps, noted.get("id"))
        )
        self._note(directory, self._known_steps)

    def _try(self, algorithm: MatchAlgorithm, method: Callable[..., Any], *arguments: Any) -> None:
        """Call a method if the tracker is open. After an exception it is closed, and the user is warned."""
        if self._state != OPEN:
            return
        try:
            method(*arguments)
        except Exception as error:  # whatever a tracker raises, training goes on
            self._state = CLOSED
            algorithm.counters.failures += 1
            logger.error("callbacks.%s", self.name, exc_info=error)
            algorithm.events.message(
                f"warning: {self.name} failed ({first_line(error)}) and receives nothing more; training goes on"
            )

    def _note(self, directory: Path, env_steps: int) -> None:
        """Record the tracker's id, and how far it is, for a resume."""
        if self._id is not None:
            note = {"id": self._id, "env_steps": env_steps}
            write_durably(directory / f"{self.name}.json", json.dumps(note).encode())

    def _noted(self, directory: Path) -> dict[str, Any]:
        file = directory / f"{self.name}.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def check_installed(package: str, extra: str) -> None:
    """Raise ImportError with the fix unless a package is installed; a folder of that name (wandb/) does not count."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ImportError(f"callbacks={extra} needs {package}: in the checkout, pip install '.[{extra}]'")
