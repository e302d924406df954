"""Runs that differ in nothing but their seed, and what they say together.

Of such a group: the interquartile mean over its seeds with a bootstrap interval (Agarwal et al., 2021, "Deep
reinforcement learning at the edge of the statistical precipice"; with fewer than four seeds that is the mean).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf
from scipy.stats import bootstrap, trim_mean

Floats = NDArray[np.float64]
Said = TypeVar("Said")
SHARED = ("seed", "hydra.")  # overrides that make no difference between groups


def runs_below(directory: Path) -> list[Path]:
    """The directories that have recorded overrides, in the order of their numbers; not those within another one."""
    found = {file.parent.parent for file in directory.rglob(".hydra/overrides.yaml")}
    return sorted((run for run in found if not found.intersection(run.parents)), key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", str(path))]


def grouped(found: Mapping[Path, Said]) -> dict[str, list[Said]]:
    """What was found of each run, by the overrides that distinguish its group; `all` where nothing does.

    `found`: by run directory, which has recorded its overrides in `.hydra`.
    """
    given = {run: _overrides(OmegaConf.load(run / ".hydra" / "overrides.yaml")) for run in found}
    same = set.intersection(*(set(overrides.items()) for overrides in given.values())) if given else set()
    groups: dict[str, list[Said]] = {}
    for run, overrides in given.items():
        different = [f"{name}={value}" for name, value in overrides.items() if (name, value) not in same]
        groups.setdefault(" ".join(different) or "all", []).append(found[run])
    return groups


def _overrides(lines: Any) -> dict[str, str]:
    parts = [str(line).partition("=") for line in lines]
    return {name: value for name, _, value in parts if not name.lstrip("+").startswith(SHARED)}


def interquartile_mean(values: Floats) -> float:
    """The mean of the middle half."""
    return float(trim_mean(values, 0.25))


def interval(values: Floats, confidence: float, rng: np.random.Generator) -> tuple[float, float]:
    """The percentile bootstrap interval of the interquartile mean over seeds; (nan, nan) for one seed."""
    if len(values) < 2:
        return np.nan, np.nan
    statistic = partial(trim_mean, proportiontocut=0.25)
    result = bootstrap((values,), statistic, confidence_level=confidence, method="percentile", rng=rng)
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
