"""Groups of runs that differ only in their seed, and statistics over their seeds.

The statistic is the interquartile mean with a bootstrap interval (Agarwal et al., 2021, "Deep reinforcement learning at
the edge of the statistical precipice"; with fewer than four seeds it is the mean).
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

Float64s = NDArray[np.float64]
Result = TypeVar("Result")
IGNORED = ("seed", "hydra.")  # prefixes of overrides that do not distinguish groups


def runs_below(directory: Path) -> list[Path]:
    """Return the run directories below a directory, ordered by their numbers; without those inside another run.

    A run directory has recorded overrides in `.hydra`.
    """
    found = {file.parent.parent for file in directory.rglob(".hydra/overrides.yaml")}
    return sorted((run for run in found if not found.intersection(run.parents)), key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a sorting key that orders digits as numbers: 2_fsp before 10_fsp."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", str(path))]


def group_by_overrides(results: Mapping[Path, Result]) -> dict[str, list[Result]]:
    """Return the results of each group of runs, by the overrides that distinguish it; `all` if nothing does.

    `results`: by run directory.
    """
    given = {run: _overrides(OmegaConf.load(run / ".hydra" / "overrides.yaml")) for run in results}
    # Overrides that all runs share do not distinguish them.
    same = set.intersection(*(set(overrides.items()) for overrides in given.values())) if given else set()
    groups: dict[str, list[Result]] = {}
    for run, overrides in given.items():
        different = [f"{name}={value}" for name, value in overrides.items() if (name, value) not in same]
        groups.setdefault(" ".join(different) or "all", []).append(results[run])
    return groups


def _overrides(lines: Any) -> dict[str, str]:
    """Return recorded overrides by key, without the ignored ones."""
    parts = [str(line).partition("=") for line in lines]
    return {name: value for name, _, value in parts if not name.lstrip("+").startswith(IGNORED)}


def interquartile_mean(values: Float64s) -> float:
    """Return the mean of the middle half of the values."""
    # A quarter of the values, rounded down, is cut from each end: none of fewer than four.
    return float(trim_mean(values, 0.25))


def interval(values: Float64s, confidence: float, rng: np.random.Generator) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the interquartile mean over seeds; (nan, nan) for a single seed."""
    if len(values) < 2:
        return np.nan, np.nan
    statistic = partial(trim_mean, proportiontocut=0.25)
    result = bootstrap((values,), statistic, confidence_level=confidence, method="percentile", rng=rng)
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
