"""The run that a task reads: its players, and the environment in which they were trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from marl_app.assembly.instantiate import config_errors
from marl_app.config.record import read_record
from marl_app.config.schema import Config
from marl_app.config.targets import check_leaf
from marl_app.runs.members import Members


def open_run(config: Config) -> Members:
    """Return the players of the run that the key `run` names. Raises ConfigError if it has no whole checkpoint."""
    assert config.run is not None  # checked by the schema
    with config_errors("run"):
        return Members(Path(config.run).expanduser(), config.trust)


def environment(members: Members) -> dict[str, Any]:
    """Return the leaf `env` of the run's recorded configuration, with the current paths of classes that were renamed.

    Raises ConfigError if it cannot be read, or if the run was started by someone else and `env` would import code.
    """
    recorded = read_record(members.run, ["env"], members.trust).env
    with config_errors("run"):
        content: Any = OmegaConf.to_container(recorded, resolve=True)
        leaf: dict[str, Any] = content
        check_leaf("env", leaf)
        return leaf
