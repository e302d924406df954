"""The record of a job in its directory: `.hydra/`, with the composed configuration and the overrides that were given.

Hydra writes it before the app can refuse the job, and would replace the record of the run that is there. Here the job's
record is written once the job is accepted, so that a refused command leaves a run as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from marl_app.metrics.files import replacing

FOLDER = ".hydra"

_pending: list[tuple[Path, Mapping[str, str]]] = []


def prepare_record(config: DictConfig) -> None:
    """Keep what `write_record` is going to write for the job that Hydra starts now."""
    hydra: Any = HydraConfig.instance().cfg  # Hydra's configuration below the key `hydra`
    files = {
        "config.yaml": OmegaConf.to_yaml(config),
        "hydra.yaml": OmegaConf.to_yaml(hydra),
        "overrides.yaml": OmegaConf.to_yaml(hydra.hydra.overrides.task),
    }
    _pending[:] = [(Path(hydra.hydra.runtime.output_dir) / FOLDER, files)]


def write_record() -> None:
    """Write the record of the job, which is accepted, once. Does nothing for a job that Hydra did not start."""
    while _pending:
        folder, files = _pending.pop()
        for name, text in files.items():
            with replacing(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
