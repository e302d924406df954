"""What was chosen for a run: options and overrides, from the record of its command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marl_app.runs.trust import RECORD, read_yaml

_NOT_TOLD = ("hydra", "local")
"""Groups whose options say nothing of the run; `local` has the settings of a machine."""


def chosen_options(run: Path) -> dict[str, str]:
    """Return group -> option, such as league/matchmaker -> pfsp; {} for a run without a record, as in a notebook.

    Raises ValueError if the record is damaged.
    """
    choices = _mapping(_mapping(_hydra(run).get("runtime")).get("choices"))
    return {
        group: str(option)
        for group, option in choices.items()
        if option is not None and group.partition("/")[0].partition("@")[0] not in _NOT_TOLD
    }


def given_overrides(run: Path) -> list[str]:
    """Return the overrides of the command line, in their order; [] for a run without a record. Raises ValueError."""
    content = read_yaml(run / RECORD / "overrides.yaml") or []
    if not isinstance(content, list):
        raise ValueError(f"{run / RECORD / 'overrides.yaml'} is not a list")
    return list(map(str, content))


def sweep_folder(run: Path) -> Path | None:
    """Return the folder of the sweep that a run is a part of; None for a single run. Raises ValueError."""
    return run.parent if _hydra(run).get("mode") == "MULTIRUN" else None


def _hydra(run: Path) -> dict[str, Any]:
    return _mapping(_mapping(read_yaml(run / RECORD / "hydra.yaml")).get("hydra"))


def _mapping(value: Any) -> dict[str, Any]:
    """Return a mapping of a record; {} in the place of anything else."""
    return value if isinstance(value, dict) else {}
