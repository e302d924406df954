"""The curves of the page: of one run, or of two runs in the same figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from marl_app.metrics.names import find_metric
from marl_app.report.blocks import Absent, Picture
from marl_app.report.figures import COLORS, Line, lines_figure, svg
from marl_app.report.recorded_run import STEPS, RecordedRun

X_LABEL = "env steps"


class Panel(NamedTuple):
    """A figure: its title, its metrics by the names of their lines, the limits of y, and whose runs it is for.

    Of two runs only the first metric is compared. `teams`: for runs of a team (True), of a league (False), or both.
    """

    title: str
    metrics: Mapping[str, str]
    limits: tuple[float, float | None] | None = None
    teams: bool | None = None


# In the order of the page. `compared` shows the first metric of each panel.
PANELS = (
    Panel("Return", {"agent": "matches/return"}, teams=True),
    Panel("Elo", {"main agent": "league/elo", "mean of the pool": "league/elo_pool_mean"}, teams=False),
    Panel(
        "Win rate",
        {"whole pool": "league/win_rate/pool"}
        | {f"{band} third": f"league/win_rate/{band}" for band in ("oldest", "middle", "newest")},
        (0, 1),
        teams=False,
    ),
    Panel("Solved positions", {"greedy": "evaluation/value_preserving_moves"}, (0, 1)),
    Panel(
        "Exploitability", {"agent": "exploitability/agent", "meta-strategy": "exploitability/meta_strategy"}, (0, None)
    ),
    Panel(
        "Diversity of the pool",
        {
            "effective size": "league/effective_pool_size",
            "meta-strategy": "league/meta_strategy_size",
            "snapshots": "league/pool_size",
        },
        teams=False,
    ),
    Panel("Cyclic share of the payoff", {"cyclic share": "league/cyclic_share"}, (0, 1), teams=False),
    Panel("Entropy", {"policy": "learner/entropy"}),
    Panel("Change of the policy", {"KL": "learner/mean_kl"}),
    Panel("Explained variance", {"critic": "learner/explained_variance"}, (-0.1, 1)),
    Panel("TD error", {"team's value": "learner/td_error"}),
    Panel("Exploration", {"epsilon": "exploration/epsilon", "temperature": "exploration/temperature"}, (0, 1)),
    Panel("Length of a match", {"matches": "matches/length"}),
    Panel("Speed", {"env steps": "throughput/env_steps_per_s"}, (0, None)),
)
ELO_NOTE = "Each run measures it from its own first snapshot: values of two runs cannot be compared."
IN_OTHER_SECTIONS = ("Exploitability", "Speed", "Solved positions")


def curve(run: RecordedRun, metric: str) -> tuple[pd.Series, pd.Series] | None:
    """Return env steps and values of a metric, where it has one; None without any."""
    if metric not in run.progress:
        return None
    # A run may lack the metric in some points, and a damaged file may have text in its place: both are left out.
    rows = run.progress[[STEPS, metric]].apply(pd.to_numeric, errors="coerce").dropna()
    return None if rows.empty else (rows[STEPS], rows[metric])


def picture(title: str, sentence: str, lines: Mapping[str, Line], **how: object) -> Picture:
    """Return lines over env steps as a block."""
    return Picture(title, svg(lines_figure(X_LABEL, lines, **how), title), sentence)  # type: ignore[arg-type]


def curves(run: RecordedRun) -> list[Picture]:
    """Return the curves of one run, without those that other sections show. Raises Absent without any."""
    pictures = list(_own_curves(run))
    if not pictures:
        raise Absent("progress.jsonl has no curve")
    return pictures


def _own_curves(run: RecordedRun) -> Iterator[Picture]:
    for panel in PANELS:
        if panel.teams not in (None, run.is_team) or panel.title in IN_OTHER_SECTIONS:
            continue
        found = {name: line for name, metric in panel.metrics.items() if (line := curve(run, metric))}
        if found:
            yield picture(panel.title, _sentence(panel), found, limits=panel.limits)
        # Next to the Elo of the main agent.
        if panel.title == "Elo":
            yield from _learners(run)


def _learners(run: RecordedRun) -> Iterator[Picture]:
    """Yield the Elo of each learner, if there are several."""
    metrics = {learner: f"learners/{learner}/elo" for learner in run.learners}
    found = {learner: line for learner, metric in metrics.items() if (line := curve(run, metric))}
    if len(run.learners) > 1 and found:
        yield picture("Elo of each learner", "Elo of each learner in the iterations in which it trains.", found)


def compared(runs: Sequence[RecordedRun], names: Sequence[str]) -> list[Picture]:
    """Return the curves that any of the runs has, one figure per metric, with a line for each run."""
    # A run has the same color in all figures, also where the other run has no curve.
    colors = dict(zip(names, COLORS, strict=False))
    pictures = []
    for panel in PANELS:
        metric = next(iter(panel.metrics.values()))
        lines = {name: line for name, run in zip(names, runs, strict=True) if (line := curve(run, metric))}
        if lines and panel.teams in (None, *(run.is_team for run in runs)):
            note = f" {ELO_NOTE}" if panel.title == "Elo" else ""
            pictures.append(picture(panel.title, _sentence(panel) + note, lines, limits=panel.limits, colors=colors))
    return pictures


def _sentence(panel: Panel) -> str:
    return find_metric(next(iter(panel.metrics.values()))).sentence
