"""The results of a contrast: one table, files and two figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from marl_app.durable import replacing
from marl_app.metrics.figures import bands_figure, payoff_heat_maps, write_png
from marl_app.metrics.json import to_json
from marl_app.tasks.seeds import Float64s, interquartile_mean, interval

CURVE_POINTS = 20  # of the curve over ages
PLAIN = ("by chance", "snapshots")  # columns without intervals


@dataclass(frozen=True, eq=False)
class MeasuredRun:
    """The results of one run: `values` by name (NaN: unknown); `rates` and `games` [n, n] between n `players`.

    `past` [k]: the newest main's scores against its past snapshots, the oldest first; `ages` [k] in [0, 1]: the agent
    steps that each had trained on, as a share of the newest main's. `zero`: the player whose Elo is 0.
    """

    run: str
    values: dict[str, float]
    players: tuple[str, ...]
    zero: str
    rates: Float64s
    games: Float64s
    ages: Float64s
    past: Float64s


class ContrastReport:
    """The results of all runs by scheme: `schemes[scheme][value]` is (interquartile mean over seeds, low, high).

    Seeds in which a value is unknown are left out; NaN if it is unknown in all.
    """

    def __init__(self, runs: Mapping[str, Sequence[MeasuredRun]], confidence: float, rng: np.random.Generator) -> None:
        self._runs, self._confidence, self._rng = runs, confidence, rng
        # Names of all values, in the order of their first appearance. Runs may have different anchors.
        self._names = list(dict.fromkeys(name for group in runs.values() for run in group for name in run.values))
        self.schemes = {
            scheme: {name: self._over_seeds(group, name) for name in self._names} for scheme, group in runs.items()
        }

    def print(self, directory: Path) -> None:
        """Print the table, one row per scheme, and the names of the files."""
        # Values that are unknown in all schemes have no column.
        shown = [name for name in self._names if any(not np.isnan(row[name][0]) for row in self.schemes.values())]
        title = (
            f"The newest main with {self._confidence:.0%} intervals over seeds; past to newest: scores against its past"
        )
        table = Table("scheme", "seeds", *shown, title=title)
        for scheme, row in self.schemes.items():
            table.add_row(scheme, str(len(self._runs[scheme])), *(_cell(name, row[name]) for name in shown))
        # 24 characters for the scheme and its seeds, 17 for each value with its interval.
        Console(highlight=False, width=max(80, 24 + 17 * len(shown))).print(table)
        if zeros := {run.zero for group in self._runs.values() for run in group} - {"random"}:
            print(f"Elo is measured from {', '.join(sorted(zeros))}: without the anchor random it cannot be compared.")
        files = "contrast.csv, contrast.json, contrast_payoff.png, contrast_past.png"
        print(f"contrast: {directory}  ({files})", flush=True)

    def write(self, directory: Path, facts: Mapping[str, Any]) -> None:
        """Write `contrast.csv` (one row per scheme), `contrast.json` (with `facts` and every run), and the figures."""
        rows = {
            scheme: {"seeds": len(self._runs[scheme])}
            | {f"{name}{end}": number for name, value in row.items() for end, number in zip(_ENDS, value, strict=True)}
            for scheme, row in self.schemes.items()
        }
        with replacing(directory / "contrast.csv") as path:
            pd.DataFrame.from_dict(rows, orient="index").to_csv(path, index_label="scheme")
        runs = [{"scheme": scheme, **asdict(run)} for scheme, group in self._runs.items() for run in group]
        with replacing(directory / "contrast.json") as path:
            path.write_text(to_json({**facts, "schemes": rows, "runs": runs}, indent=1) + "\n", encoding="utf-8")
        # The payoff of the first seed stands for its scheme.
        maps = {scheme: (group[0].players, group[0].rates, group[0].games) for scheme, group in self._runs.items()}
        write_png(directory / "contrast_payoff.png", payoff_heat_maps(maps))
        curves = {scheme: self._over_ages(group) for scheme, group in self._runs.items()}
        title, label = (
            "Score of the newest main against its own past",
            "agent steps of the past snapshot, as a share of the newest main's",
        )
        pixels = bands_figure(title, label, {scheme: curve for scheme, curve in curves.items() if curve}, level=0.5)
        write_png(directory / "contrast_past.png", pixels)

    def _over_seeds(self, runs: Sequence[MeasuredRun], name: str) -> tuple[float, float, float]:
        """Return (interquartile mean, low, high) of a value over the runs of a scheme."""
        values = np.array([run.values.get(name, np.nan) for run in runs])
        return self._mean_and_interval(values[~np.isnan(values)])

    def _mean_and_interval(self, values: Float64s) -> tuple[float, float, float]:
        if not len(values):
            return np.nan, np.nan, np.nan
        return interquartile_mean(values), *interval(values, self._confidence, self._rng)

    def _over_ages(self, runs: Sequence[MeasuredRun]) -> tuple[Float64s, Float64s, Float64s, Float64s] | None:
        """Return (ages, score, low, high), each [CURVE_POINTS], at ages that all seeds cover; None without a past."""
        runs = [run for run in runs if len(run.ages)]
        if not runs:
            return None
        # Ages between the oldest and newest snapshot of every seed, so that no curve is extrapolated.
        at = np.linspace(max(run.ages[0] for run in runs), min(run.ages[-1] for run in runs), CURVE_POINTS)
        # [seeds, CURVE_POINTS]
        scores = np.stack([np.interp(at, run.ages, run.past) for run in runs])
        # One (mean, low, high) per age, transposed into three curves [CURVE_POINTS].
        middle, low, high = np.array([self._mean_and_interval(column) for column in scores.T]).T
        return at, middle, low, high


_ENDS = ("", " low", " high")  # suffixes of the columns of contrast.csv


def _cell(name: str, value: tuple[float, float, float]) -> str:
    middle, low, high = (_number(name, number) for number in value)
    if np.isnan(value[0]):
        return "-"
    return middle if name in PLAIN or np.isnan(value[1]) else f"{middle}\n{low} to {high}"


def _number(name: str, value: float) -> str:
    return f"{value:.0f}" if name in ("Elo", "snapshots") else f"{value:.3f}"
