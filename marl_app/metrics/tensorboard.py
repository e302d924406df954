"""The TensorBoard writer: documented names only, no silent gaps, hyperparameters in the run's own directory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from marl_app.metrics.names import check_key


class TensorBoard:
    """Writes one run's curves and pictures to event files in `directory`. The step of everything is env steps.

    `purge_step`: of what earlier writers wrote to this directory, TensorBoard hides all at or after this step. A run
    that resumes from a checkpoint made at n env steps passes n + 1.
    `nonfinite`: how many values were NaN or infinite so far, written as `health/nonfinite`; a resumed run may set it.
    """

    def __init__(self, directory: str | Path, purge_step: int | None = None) -> None:
        self.nonfinite = 0
        self._writer = SummaryWriter(str(directory), purge_step=purge_step, flush_secs=10)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write one point of each curve. Values that are not finite are left out and counted in `health/nonfinite`.

        Raises KeyError for a key that `names.py` does not have, before anything is written.
        """
        for key in values:
            check_key(key)
        for key, value in values.items():
            if math.isfinite(value):
                self._writer.add_scalar(key, float(value), step)
            else:
                self.nonfinite += 1
        self._writer.add_scalar("health/nonfinite", self.nonfinite, step)

    def image(self, key: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Write a picture, uint8 [height, width, 3]. Raises KeyError for a key that `names.py` does not have."""
        check_key(key)
        self._writer.add_image(key, pixels, step, dataformats="HWC")

    def hparams(self, config: Mapping[str, Any]) -> None:
        """Write the flat config (dotted keys), once, at the start: the HPARAMS tab then compares the runs of a sweep.

        Only the session is written, not the "experiment" that `SummaryWriter.add_hparams` adds (in a sub-directory).
        With it TensorBoard lists the hyperparameters of whichever run it reads first; without it, those of all runs,
        the ones that differ first, and next to them the last value of every curve.
        """
        assert self._writer.file_writer is not None
        _, session, _ = hparams({key: _hparam(value) for key, value in config.items()}, {})
        self._writer.file_writer.add_summary(session)

    def flush(self) -> None:
        """Bring everything to disk."""
        self._writer.flush()

    def close(self) -> None:
        """Flush and end; nothing can be written afterwards."""
        self._writer.close()


def _hparam(value: Any) -> float | str:
    """Numbers as they are, all else as text; torch would drop None and make bools numbers."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return value if isinstance(value, int | float) else str(value)
