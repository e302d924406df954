"""A logger: every report of the run as a line of CSV, for a program that follows the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.callback import MatchCallback
from marl_app.rllib.training.events import RunReport


class CsvLog(MatchCallback):
    """Writes the named metrics of each iteration to a file in the run directory."""

    def __init__(self, file: str, metrics: list[str]) -> None:
        super().__init__()
        self.file = file
        self.metrics = metrics

    def on_report(self, *, algorithm: MatchAlgorithm, report: RunReport, **kwargs: Any) -> None:
        if not report.iteration:  # messages only
            return
        path = Path(algorithm.spec.settings.output_dir) / self.file
        line = "" if path.exists() else ",".join(["iteration", *self.metrics]) + "\n"
        values = [str(report.metrics.get(name, "")) for name in self.metrics]
        with path.open("a", encoding="utf-8") as stream:
            stream.write(line + ",".join([str(algorithm.iteration), *values]) + "\n")
