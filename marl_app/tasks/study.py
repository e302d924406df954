"""Study: compare several runs, such as those of a sweep.

python -m marl_app task=study run=runs/sweeps/<time>
python -m marl_app task=study run=runs/sweeps/<time> task.metric=league/elo

Runs that differ only in their seed are one group (`seeds.py`). The table has for each group the interquartile mean over
its seeds with a bootstrap interval, the env steps and seconds until given values were reached, and the speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config
from marl_app.config.section import Section, key
from marl_app.durable import replacing
from marl_app.metrics.figures import bands_figure, write_png
from marl_app.tasks.seeds import Float64s, group_by_overrides, interquartile_mean, interval, runs_below

STEPS, SECONDS, ROWS = "steps/env_steps", "seconds", "steps/trained_agent_steps"
CURVE_POINTS = 200
FINAL_SHARE = 0.1  # the final value of a run is the mean over this last share of it


@dataclass
class Study(Section):
    """The task. Its objective is the best group's final value."""

    path: ClassVar[str] = "task"
    metric: str = key("The curve that is compared: a metric of docs/metrics.md.")
    higher_is_better: bool = key("Whether higher values are better.")
    scale: float = key("Factor of every value, such as the number of agents for a team's return.")
    thresholds: list[float] = key("Values for which the table has the env steps and seconds until they were reached.")
    confidence: float = key("Confidence level of the bootstrap intervals.", above=0, at_most=0.999)

    def __call__(self, config: Config) -> float:
        """Read the runs below `run`, print the table, and write it and the curves to the run directory."""
        assert config.run is not None  # checked by the schema
        groups = read_groups(Path(config.run).expanduser(), self.metric, self.scale)
        if not groups:
            raise ConfigError(f"run={config.run}: no run below it has recorded {self.metric}")
        rng = np.random.default_rng(config.seed)
        rows = {name: self._row(runs, rng) for name, runs in groups.items()}
        # 1. The table, the best group first.
        table = pd.DataFrame.from_dict(rows, orient="index").sort_values("final", ascending=not self.higher_is_better)
        directory = Path(config.output_dir)
        with replacing(directory / "study.csv") as path:
            table.to_csv(path, index_label="group")
        # 2. Curves over env steps and over seconds.
        for name, label in ((STEPS, "env steps"), (SECONDS, "seconds")):
            curves = {group: band(groups[group], name) for group in table.index}
            write_png(directory / f"study_{label.replace(' ', '_')}.png", bands_figure(self.metric, label, curves))
        self._print(table)
        print(f"study: {directory}  (study.csv, study_env_steps.png, study_seconds.png)", flush=True)
        return float(table["final"].iloc[0])

    def _row(self, runs: list[pd.DataFrame], rng: np.random.Generator) -> dict[str, float]:
        """Return the row of a group: column -> value."""
        # [seeds] the mean over the last part of each curve, at least its last point.
        finals = np.array([run["value"].iloc[-max(1, int(FINAL_SHARE * len(run))) :].mean() for run in runs])
        low, high = interval(finals, self.confidence, rng)
        row = {"seeds": float(len(runs)), "final": interquartile_mean(finals), "low": low, "high": high}
        for threshold in self.thresholds:
            reached = [self._first(run, threshold) for run in runs]
            row[f"runs at {threshold:g}"] = float(sum(when is not None for when in reached))
            # The median over the seeds that reached it; NaN if none did.
            for name, column in ((f"env steps to {threshold:g}", 0), (f"seconds to {threshold:g}", 1)):
                row[name] = float(np.median([when[column] for when in reached if when])) if any(reached) else np.nan
        row["env steps/s"] = float(np.mean([run[STEPS].iloc[-1] / run[SECONDS].iloc[-1] for run in runs]))
        row["trained agent steps/s"] = float(np.mean([run[ROWS].iloc[-1] / run[SECONDS].iloc[-1] for run in runs]))
        return row

    def _first(self, run: pd.DataFrame, threshold: float) -> tuple[float, float] | None:
        """Return the env steps and seconds at which a run's smoothed curve reached a value; None if it never did."""
        reached = run["smooth"] >= threshold if self.higher_is_better else run["smooth"] <= threshold
        # idxmax is the index of the first True.
        return (run[STEPS][reached.idxmax()], run[SECONDS][reached.idxmax()]) if reached.any() else None

    def _print(self, table: pd.DataFrame) -> None:
        """Print the table, one column per group."""
        title = f"{self.metric}: final value with its {self.confidence:.0%} interval"
        shown = Table("", *(str(group).replace(" ", "\n") for group in table.index), title=title)
        for name in table.columns:
            shown.add_row(name, *(_number(value) for value in table[name]))
        Console(width=max(80, 30 + 24 * len(table))).print(shown)


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def read_groups(directory: Path, metric: str, scale: float) -> dict[str, list[pd.DataFrame]]:
    """Return the curves of all runs below a directory, by the overrides that distinguish their groups.

    A curve has the columns `STEPS`, `SECONDS`, `ROWS`, `value`, and `smooth`, an exponential moving average of it.
    """
    found: dict[Path, pd.DataFrame] = {}
    for run in runs_below(directory):
        file = run / "progress.jsonl"
        curve = pd.read_json(file, lines=True) if file.is_file() else pd.DataFrame()
        if metric not in curve:
            continue
        # Rows without a value are left out: a metric may be measured less often than once per iteration.
        curve = curve[[STEPS, SECONDS, ROWS, metric]].rename(columns={metric: "value"}).dropna().reset_index(drop=True)
        curve["value"] *= scale
        curve["smooth"] = curve["value"].ewm(span=10).mean()
        found[run] = curve
    return group_by_overrides(found)


def band(runs: list[pd.DataFrame], x: str) -> tuple[Float64s, Float64s, Float64s, Float64s]:
    """Return x, and the interquartile mean, lower and upper quartile of the runs' smoothed curves, each [CURVE_POINTS].

    `x` names a column of the curves; its values are those that all runs have reached.
    """
    # Between the latest start and the earliest end of the runs, so that no curve is extrapolated.
    at = np.linspace(max(run[x].iloc[0] for run in runs), min(run[x].iloc[-1] for run in runs), CURVE_POINTS)
    # [seeds, CURVE_POINTS]
    curves = np.stack([np.interp(at, run[x], run["smooth"]) for run in runs])
    return at, np.array([interquartile_mean(values) for values in curves.T]), *np.quantile(curves, [0.25, 0.75], axis=0)
