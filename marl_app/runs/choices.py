"""What was chosen for a run: options and overrides, from the record of its command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from marl_app.runs.regular_file import read_regular
from marl_app.runs.trust import MOST_BYTES, RECORD

_NOT_TOLD = ("hydra", "local")
"""Groups whose options say nothing of the run; `local` has the settings of a machine."""


def chosen_options(run: Path) -> dict[str, str]:
    """Return group -> option, such as league/matchmaker -> pfsp; {} for a run without a record, as in a notebook.

    Raises ValueError if the record is damaged.
    """
    choices = _hydra(run).get("runtime", {}).get("choices", {})
    return {
        group: str(option)
        for group, option in choices.items()
        if option is not None and group.partition("/")[0].partition("@")[0] not in _NOT_TOLD
    }


def given_overrides(run: Path) -> list[str]:
    """Return the overrides of the command line, in their order; [] for a run without a record. Raises ValueError."""
    return [str(override) for override in _read(run, "overrides.yaml") or []]


def sweep_folder(run: Path) -> Path | None:
    """Return the folder of the sweep that a run is a part of; None for a single run. Raises ValueError."""
    return run.parent if _hydra(run).get("mode") == "MULTIRUN" else None


def _hydra(run: Path) -> dict[str, Any]:
    return (_read(run, "hydra.yaml") or {}).get("hydra", {})  # type: ignore[no-any-return]


def _read(run: Path, name: str) -> Any:
    file = run / RECORD / name
    if not file.exists():
        return None
    try:
        return yaml.safe_load(read_regular(file, MOST_BYTES))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
