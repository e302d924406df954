"""The TensorBoard writer: documented metrics only, non-finite values counted, hyperparameters of the run.

It is TensorBoard's own writer, with neither torch nor TensorFlow. tensorboardX, which Ray brings along, imports torch
wherever it is installed, and its `add_scalar` waits forever once the disk was full.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from marl_app.durable import make_folder, sync_file, sync_folder
from marl_app.metrics.custom_scalars import custom_scalars
from marl_app.metrics.hparams import experiment_summary, session_summary
from marl_app.metrics.metric import ALWAYS, NONZERO
from marl_app.metrics.names import curve_name, find_metric

RGB = 3  # the number of channels, which is also TensorBoard's name of this color space


class TensorBoard:
    """A writer of one run's curves and pictures to event files in `directory`. All steps are env steps.

    Curves and pictures have the sentence of `names.py` as description; a metric there says when it is a curve. The
    layout of the tab Custom Scalars is written with the first point, and again when a point adds a curve to it.

    `purge_step`: TensorBoard hides everything that earlier writers wrote at or after this step. A run that resumes from
    a checkpoint at n env steps passes n + 1.
    `reported`: each metric of the run so far, and whether it has had a value other than 0, for a run that resumes.
    `nonfinite`: number of NaN and infinite values so far, written as `health/nonfinite`; a resumed run may set it.
    """

    def __init__(
        self, directory: str | Path, purge_step: int | None = None, reported: Mapping[str, bool] | None = None
    ) -> None:
        self.nonfinite = 0
        self._directory = Path(directory)
        make_folder(self._directory)
        reported = dict(reported or {})
        # What earlier writers of the run have written, so that a resumed run goes on with the same curves.
        self._keys = dict.fromkeys(reported)  # an ordered set: the order of the layout's charts
        self._nonzero = {key for key, nonzero in reported.items() if nonzero}
        self._described: set[str] = set()  # tags whose description this writer has written: TensorBoard reads the first
        self._layout = b""
        self._writer = EventFileWriter(str(directory), flush_secs=10)
        # A start event tells TensorBoard to hide what is at or after its step.
        if purge_step is not None:
            self._add(Event(session_log=SessionLog(status=SessionLog.START)), purge_step)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write one point of each curve. Non-finite values are left out and counted in `health/nonfinite`.

        Raises KeyError before writing for a key that is not in `names.py`.
        """
        # All keys first, so that nothing is written if one is wrong.
        curves = {key: find_metric(key).curve for key in values}
        # Non-finite values are counted, not written.
        finite = {key: float(value) for key, value in values.items() if math.isfinite(value)}
        self.nonfinite += len(values) - len(finite)
        shown = finite | {"health/nonfinite": float(self.nonfinite)}
        curves["health/nonfinite"] = NONZERO
        self._nonzero |= {key for key, value in shown.items() if value}
        # A metric of the kind NONZERO becomes a curve with its first value other than 0, and stays one.
        points = {
            key: value
            for key, value in shown.items()
            if curves[key] == ALWAYS or (curves[key] == NONZERO and key in self._nonzero)
        }
        described = [
            Summary.Value(tag=curve_name(key), simple_value=value, metadata=self._description(key, "scalars"))
            for key, value in points.items()
        ]
        self._add_summary(Summary(value=described), step)
        # The layout changes when a new curve appears in one of its charts.
        self._keys |= dict.fromkeys(points)
        layout = custom_scalars(self._keys)
        if layout is not None and (text := layout.SerializeToString()) != self._layout:
            self._layout = text
            self._add_summary(layout, step)

    def image(self, key: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Write a picture, uint8 [height, width, 3]. Raises KeyError for a key that is not in `names.py`."""
        find_metric(key)
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG", compress_level=1)  # half of the time of the default, as small
        height, width = pixels.shape[:2]
        image = Summary.Image(height=height, width=width, colorspace=RGB, encoded_image_string=png.getvalue())
        about = self._description(key, "images")
        self._add_summary(Summary(value=[Summary.Value(tag=key, image=image, metadata=about)]), step)

    def text(self, key: str, markdown: str, step: int) -> None:
        """Write a text in Markdown. Raises KeyError for a key that is not in `names.py`."""
        self._add_summary(text_pb(key, markdown, find_metric(key).sentence), step)

    def hparams(self, values: Mapping[str, Any], metrics: Sequence[str] = (), chosen: Collection[str] = ()) -> None:
        """Write hyperparameters once at the start, so that the tab HParams compares the runs of a sweep.

        metrics: the curves whose last values the tab shows; empty: all. chosen: the hyperparameters that come first.
        """
        if metrics:
            self._add_summary(experiment_summary(values, metrics, chosen), 0)
        self._add_summary(session_summary(values, time.time()), 0)

    def flush(self) -> None:
        """Write everything to disk, durably."""
        self._writer.flush()
        for file in self._directory.glob("events.*"):
            sync_file(file)
        sync_folder(self._directory)

    def close(self) -> None:
        """Flush and close the files; nothing can be written afterwards."""
        self._writer.close()

    def _description(self, key: str, plugin: str) -> SummaryMetadata | None:
        """Return the sentence of a metric for the first point of a tag, which a plugin of TensorBoard shows."""
        if key in self._described:
            return None
        self._described.add(key)
        shown_by = SummaryMetadata.PluginData(plugin_name=plugin)
        return SummaryMetadata(summary_description=find_metric(key).sentence, plugin_data=shown_by)

    def _add_summary(self, summary: Summary, step: int) -> None:
        self._add(Event(summary=summary), step)

    def _add(self, event: Event, step: int) -> None:
        event.step, event.wall_time = step, time.time()
        self._writer.add_event(event)
