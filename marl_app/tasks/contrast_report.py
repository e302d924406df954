"""What the schemes of a contrast have come to: one table, files and two pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from marl_app.metrics.figures import bands_figure, payoff_heat_maps, write_png
from marl_app.metrics.files import replacing, to_json
from marl_app.tasks.seeds import Floats, interquartile_mean, interval

POINTS = 20  # of the curve over ages
PLAIN = ("by chance", "snapshots")  # shown without their intervals


@dataclass(frozen=True, eq=False)
class Measured:
    """One run: `values` by name (NaN where not known); `rates` and `games` [n, n] between n `players`.

    `past`, [k]: the newest main's scores against its past selves, the oldest first; `ages`, [k] in [0, 1]: what
    share of its agent steps each had trained on. `zero`: the player whose Elo is 0.
    """

    run: str
    values: dict[str, float]
    players: tuple[str, ...]
    zero: str
    rates: Floats
    games: Floats
    ages: Floats
    past: Floats


class ContrastReport:
    """What runs say together: `schemes[scheme][value]` is (interquartile mean over seeds, low, high).

    A value that only some seeds know is that of these; NaN if none does.
    """

    def __init__(self, runs: Mapping[str, Sequence[Measured]], confidence: float, rng: np.random.Generator) -> None:
        self._runs, self._confidence, self._rng = runs, confidence, rng
        self._names = list(dict.fromkeys(name for group in runs.values() for run in group for name in run.values))
        self.schemes = {scheme: {name: self._of(group, name) for name in self._names} for scheme, group in runs.items()}

    def print(self, directory: Path) -> None:
        """The table, schemes as rows, and where the rest lies."""
        shown = [name for name in self._names if any(not np.isnan(row[name][0]) for row in self.schemes.values())]
        title = f"The newest main with {self._confidence:.0%} intervals over seeds; past to newest: its own past"
        table = Table("scheme", "seeds", *shown, title=title)
        for scheme, row in self.schemes.items():
            table.add_row(scheme, str(len(self._runs[scheme])), *(_cell(name, row[name]) for name in shown))
        Console(highlight=False, width=max(80, 24 + 17 * len(shown))).print(table)
        if zeros := {run.zero for group in self._runs.values() for run in group} - {"random"}:
            print(f"Elo is measured from {', '.join(sorted(zeros))}: without the anchor random it does not compare.")
        files = "contrast.csv, contrast.json, contrast_payoff.png, contrast_past.png"
        print(f"contrast: {directory}  ({files})", flush=True)

    def write(self, directory: Path, facts: Mapping[str, Any]) -> None:
        """`contrast.csv` (a row a scheme), `contrast.json` (with `facts` and every run), and the pictures."""
        rows = {
            scheme: {"seeds": len(self._runs[scheme])}
            | {f"{name}{end}": number for name, of in row.items() for end, number in zip(_ENDS, of, strict=True)}
            for scheme, row in self.schemes.items()
        }
        with replacing(directory / "contrast.csv") as path:
            pd.DataFrame.from_dict(rows, orient="index").to_csv(path, index_label="scheme")
        runs = [{"scheme": scheme, **asdict(run)} for scheme, group in self._runs.items() for run in group]
        with replacing(directory / "contrast.json") as path:
            path.write_text(to_json({**facts, "schemes": rows, "runs": runs}, indent=1) + "\n", encoding="utf-8")
        maps = {scheme: (group[0].players, group[0].rates, group[0].games) for scheme, group in self._runs.items()}
        write_png(directory / "contrast_payoff.png", payoff_heat_maps(maps))
        curves = {scheme: self._over_ages(group) for scheme, group in self._runs.items()}
        title, label = (
            "Score of the newest main against its own past",
            "agent steps of the past self, as a share of its own",
        )
        pixels = bands_figure(title, label, {scheme: curve for scheme, curve in curves.items() if curve}, level=0.5)
        write_png(directory / "contrast_past.png", pixels)

    def _of(self, runs: Sequence[Measured], name: str) -> tuple[float, float, float]:
        values = np.array([run.values.get(name, np.nan) for run in runs])
        return self._together(values[~np.isnan(values)])

    def _together(self, values: Floats) -> tuple[float, float, float]:
        if not len(values):
            return np.nan, np.nan, np.nan
        return interquartile_mean(values), *interval(values, self._confidence, self._rng)

    def _over_ages(self, runs: Sequence[Measured]) -> tuple[Floats, Floats, Floats, Floats] | None:
        """Score, and the ends of its interval, at ages that all seeds have; None without any."""
        runs = [run for run in runs if len(run.ages)]
        if not runs:
            return None
        at = np.linspace(max(run.ages[0] for run in runs), min(run.ages[-1] for run in runs), POINTS)
        scores = np.stack([np.interp(at, run.ages, run.past) for run in runs])
        middle, low, high = np.array([self._together(column) for column in scores.T]).T
        return at, middle, low, high


_ENDS = ("", " low", " high")


def _cell(name: str, value: tuple[float, float, float]) -> str:
    middle, low, high = (_number(name, number) for number in value)
    if np.isnan(value[0]):
        return "-"
    return middle if name in PLAIN or np.isnan(value[1]) else f"{middle}\n{low} to {high}"


def _number(name: str, value: float) -> str:
    return f"{value:.0f}" if name in ("Elo", "snapshots") else f"{value:.3f}"
