"""The curves as one CSV file, and the newest pictures as PNG files: for spreadsheets, and for looking without a server.

pd.read_csv(run / "csv" / "metrics.csv")
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from marl_app.durable import replacing, sync_file
from marl_app.metrics.figures import write_png
from marl_app.rllib.training.events import Image
from marl_app.rllib.training.tracking import TrackedRun, Tracking

STEPS = "steps/env_steps"


class WriteCSV(Tracking):
    """Writes `csv/metrics.csv`, a row per point, and `csv/league_payoff.png` and so on, of which the newest is kept.

    A new metric is a new column, so the file is written again. A resumed run drops the rows after its checkpoint.
    """

    name: ClassVar[str] = "csv"

    def open(self, run: TrackedRun) -> None:
        """Read the rows that a resumed run keeps."""
        self._folder = run.directory / "csv"
        self._file = self._folder / "metrics.csv"
        self._columns: list[str] = [STEPS]
        kept: list[dict[str, str]] = []
        # A resumed run plays the iterations after its checkpoint again: their rows are dropped.
        if run.env_steps and self._file.is_file():
            with self._file.open(encoding="utf-8", newline="") as lines:
                reader = csv.DictReader(line for line in lines if line.endswith("\n"))  # the last row may be torn
                self._columns = list(reader.fieldnames or self._columns)
                kept = [row for row in reader if float(row[STEPS]) <= run.env_steps]
        self._write_all(kept)

    def log(self, metrics: Mapping[str, float], env_steps: int) -> None:
        """Append a row; a metric that it lacks is empty."""
        row = {**metrics, STEPS: env_steps}
        added = [key for key in row if key not in self._columns]
        # A new column changes the header, which is the first line.
        if added:
            with self._file.open(encoding="utf-8", newline="") as lines:
                rows: list[dict[str, Any]] = list(csv.DictReader(lines))
            self._columns += added
            self._write_all([*rows, row])
        else:
            with self._file.open("a", encoding="utf-8", newline="") as lines:
                csv.DictWriter(lines, self._columns).writerow(row)

    def log_images(self, images: Mapping[str, Image], env_steps: int) -> None:
        """Replace the pictures of these names."""
        for key, pixels in images.items():
            write_png(self._folder / f"{key.replace('/', '_')}.png", pixels)

    def finish(self, summary: Mapping[str, Any], status: str) -> None:
        """Make the rows durable; `summary.json` is in the run directory already."""
        sync_file(self._file)

    def _write_all(self, rows: list[dict[str, Any]] | list[dict[str, str]]) -> None:
        # Into a new file that takes the old one's place whole.
        with replacing(self._file) as temporary, Path(temporary).open("w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, self._columns)
            writer.writeheader()
            writer.writerows(rows)
