"""The TensorBoard writer: documented metrics only, non-finite values counted, hyperparameters of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from marl_app.durable import make_folder, sync_file, sync_folder
from marl_app.metrics.names import check_key


class TensorBoard:
    """A writer of one run's curves and pictures to event files in `directory`. All steps are env steps.

    `purge_step`: TensorBoard hides everything that earlier writers wrote at or after this step. A run that resumes from
    a checkpoint at n env steps passes n + 1.
    `nonfinite`: number of NaN and infinite values so far, written as `health/nonfinite`; a resumed run may set it.
    """

    def __init__(self, directory: str | Path, purge_step: int | None = None) -> None:
        self.nonfinite = 0
        self._directory = Path(directory)
        make_folder(self._directory)
        self._writer = SummaryWriter(str(directory), purge_step=purge_step, flush_secs=10)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write one point of each curve. Non-finite values are left out and counted in `health/nonfinite`.

        Raises KeyError before writing for a key that is not in `names.py`.
        """
        # All keys first, so that nothing is written if one is wrong.
        for key in values:
            check_key(key)
        for key, value in values.items():
            if math.isfinite(value):
                self._writer.add_scalar(key, float(value), step)
            else:
                self.nonfinite += 1
        self._writer.add_scalar("health/nonfinite", self.nonfinite, step)

    def image(self, key: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Write a picture, uint8 [height, width, 3]. Raises KeyError for a key that is not in `names.py`."""
        check_key(key)
        self._writer.add_image(key, pixels, step, dataformats="HWC")

    def hparams(self, config: Mapping[str, Any]) -> None:
        """Write the flat config (dotted keys) once at the start, so that the HPARAMS tab compares the runs of a sweep.

        Only the session is written, not the "experiment" that `SummaryWriter.add_hparams` adds (in a sub-directory).
        With an experiment TensorBoard lists the hyperparameters of the first run that it reads; without it those of all
        runs, differing ones first, next to the last value of every curve.
        """
        assert self._writer.file_writer is not None
        _, session, _ = hparams({key: _hparam(value) for key, value in config.items()}, {})
        self._writer.file_writer.add_summary(session)

    def flush(self) -> None:
        """Write everything to disk, durably."""
        self._writer.flush()
        for file in self._directory.glob("events.*"):
            sync_file(file)
        sync_folder(self._directory)

    def close(self) -> None:
        """Flush and close the files; nothing can be written afterwards."""
        self._writer.close()


def _hparam(value: Any) -> float | str:
    """Return numbers unchanged and all else as text; torch would drop None and turn bools into numbers."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return value if isinstance(value, int | float) else str(value)
