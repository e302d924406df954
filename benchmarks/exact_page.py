"""The results of `benchmarks.exact` as a page: a table and a picture per game, from the files of the finished runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.exact_cases import GAMES, MAGNETS, SCHEMES, Case
from benchmarks.exact_runs import recorded, recorded_env_steps
from benchmarks.tables import DocsSection, Rows, to_markdown
from marl_app.metrics.figures import Pixels, band_panels_figure, write_png
from marl_app.tasks.seeds import Float64s, interquartile_mean, interval

STEPS = "steps/env_steps"
PLAYERS = {"agent": "nash_conv/agent", "meta-strategy": "nash_conv/meta_strategy"}
"""Curves of progress.jsonl, by the names in tables and pictures."""
SHARES = {"a quarter": 0.25, "half": 0.5, "the end": np.inf}
"""Points of the run that the table shows, as shares of its env steps; infinity is the last measurement."""
CONFIDENCE = 0.95
CURVE_POINTS = 200
SMALLEST = 1e-5
"""NashConv below which pictures, whose axis is logarithmic, do not distinguish values."""


class Result(NamedTuple):
    """A finished run. `curve`: the columns STEPS and those of PLAYERS, NaN where a row of progress has none."""

    case: Case
    env_steps: int
    minutes: float
    snapshots: int
    curve: pd.DataFrame

    def at(self, player: str, env_steps: Float64s | float) -> Float64s:
        """Return the NashConv of a player at these env steps, interpolated; NaN before the first measurement."""
        # Rows of progress in which the value was measured.
        points = self.curve[[STEPS, PLAYERS[player]]].dropna()
        if points.empty:
            return np.full(np.shape(env_steps), np.nan)
        x, y = points.to_numpy(np.float64).T
        return np.asarray(np.interp(env_steps, x, y, left=np.nan))


def read_results(directory: Path, game: str) -> list[Result]:
    """Return the finished runs of a game, of all its cases and seeds.

    If they differ in their env steps, only those with the most are returned.
    """
    results = [
        read_result(case, folder)
        for case in (Case(game, scheme, magnet) for scheme in SCHEMES for magnet in MAGNETS)
        for folder in sorted((directory / case.folder).glob("*"))
        if recorded(folder) is not None
    ]
    # Runs of another length have other schedules: they are not compared.
    longest = max((result.env_steps for result in results), default=0)
    return [result for result in results if result.env_steps == longest]


def read_result(case: Case, folder: Path) -> Result:
    """Return the result of the finished run in a folder."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    curve = pd.read_json(folder / "progress.jsonl", lines=True).reindex(columns=[STEPS, *PLAYERS.values()])
    return Result(case, recorded_env_steps(folder), summary["seconds"] / 60, summary["pool_size"], curve)


def table(results: Sequence[Result]) -> Rows:
    """Return the table of a game, with a row per case: NashConv over the run, minutes, snapshots and seeds."""
    header = ["scheme", "magnet", *(f"{player}, {share}" for player in PLAYERS for share in SHARES)]
    rows = [[*header, "minutes", "snapshots", "seeds"]]
    for case, runs in by_case(results).items():
        # One cell per player and share: over the seeds of the case.
        cells = [
            cell(np.array([float(run.at(player, share * run.env_steps)) for run in runs]))
            for player in PLAYERS
            for share in SHARES.values()
        ]
        minutes, snapshots = (
            np.mean([run.minutes for run in runs]),
            np.mean([run.snapshots for run in runs]),
        )
        rows.append([case.scheme, case.magnet, *cells, f"{minutes:.1f}", f"{snapshots:.0f}", str(len(runs))])
    return rows


def by_case(results: Sequence[Result]) -> dict[Case, list[Result]]:
    """Return the runs of each case."""
    cases: dict[Case, list[Result]] = {}
    for result in results:
        cases.setdefault(result.case, []).append(result)
    return cases


def cell(values: Float64s) -> str:
    """Return the interquartile mean over seeds and its interval, `-` where no seed has a value."""
    known = values[~np.isnan(values)]
    if not len(known):
        return "-"
    middle = f"{interquartile_mean(known):.3g}"
    low, high = interval(known, CONFIDENCE, np.random.default_rng(0))
    return middle if np.isnan(low) else f"{middle} ({low:.3g} to {high:.3g})"


def picture(results: Sequence[Result], random_play: float) -> Pixels:
    """Return NashConv over env steps: agent and meta-strategy one below the other, without and with a magnet."""
    panels = {
        f"NashConv of the {player}, magnet: {magnet}": {
            case.scheme: band(runs, player) for case, runs in by_case(results).items() if case.magnet == magnet
        }
        for player in PLAYERS
        for magnet in MAGNETS
    }
    return band_panels_figure(
        "env steps (line: interquartile mean; band: quartiles over seeds)",
        panels,
        len(MAGNETS),
        ("random play", random_play),
    )


def band(runs: Sequence[Result], player: str) -> tuple[Float64s, Float64s, Float64s, Float64s]:
    """Return env steps, and the interquartile mean, lower and upper quartile of NashConv, float64 [n] each.

    They begin where all runs have a measurement.
    """
    # The axis is the same for all runs; `at` gives NaN before a run's first measurement.
    at = np.linspace(0, runs[0].env_steps, CURVE_POINTS)
    curves = np.maximum(np.stack([run.at(player, at) for run in runs]), SMALLEST)  # [runs, points]
    known = ~np.isnan(curves).any(axis=0)
    at, curves = at[known], curves[:, known]
    low, high = np.quantile(curves, [0.25, 0.75], axis=0) if len(at) else (at, at)
    return at, np.array([interquartile_mean(values) for values in curves.T]), low, high


def write_page(directory: Path, docs: Path) -> list[str]:
    """Fill the section `results` of docs/exact.md and write its pictures; return the games that it has."""
    page = DocsSection(docs / "exact.md", "results")
    parts, shown = [], []
    for name, game in GAMES.items():
        results = read_results(directory, name)
        if not results:
            continue
        write_png(docs / "pictures" / f"exact_{name}.png", picture(results, game.random_play))
        facts = f"{results[0].env_steps:,} env steps per run. Random play has {game.random_play:.3f}."
        parts += [f"## {game.title}", facts, to_markdown(table(results))]
        parts.append(f"![NashConv of agent and meta-strategy, {game.title}](pictures/exact_{name}.png)")
        shown.append(name)
    page.fill(*parts)
    return shown
