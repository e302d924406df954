"""Pictures, uint8 [height, width, 3]: payoff, ratings, whom the matchmaker chooses; curves; the plan of a league.

Drawn with matplotlib's objects on the Agg canvas, without pyplot: no display, no global state, safe in any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage, imsave
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from marl_app.metrics.files import replacing

Pixels = NDArray[np.uint8]

_NUMBERED = 12  # players up to which every cell of the payoff says its number
_LABELED = 24  # players up to which everybody has a label
_NO_GAMES = "#a8a8a8"
_GRID = "#d9d9d9"
_BLUE, _ORANGE = "#3b6ea5", "#d9822b"
_LINES = (_BLUE, _ORANGE, "#4d9a5b", "#8d5aa5")


def payoff_heat_map(players: Sequence[str], win_rates: ArrayLike, games: ArrayLike) -> Pixels:
    """Win rate of each row against each column.

    `win_rates` [n, n] in [0, 1], drawn white at 0.5, blue above and red below; `games` [n, n], cells without games are
    gray. Up to 12 players the cells say the number, beyond 24 only some players are named.
    Raises ValueError for other shapes.
    """
    count = len(players)
    side = 3.0 + min(0.42 * max(count, 3), 6.5)
    figure, axes = _figure(side + 0.9, side)
    image = _draw_payoff(axes, players, win_rates, games)
    axes.set_title("Win rate of row against column")
    bar = figure.colorbar(image, ax=axes, ticks=[0, 0.25, 0.5, 0.75, 1], shrink=0.85)
    bar.outline.set_visible(False)
    return _pixels(figure)


def payoff_heat_maps(payoffs: Mapping[str, tuple[Sequence[str], ArrayLike, ArrayLike]]) -> Pixels:
    """Several of them side by side, under their names: players, win rates and games of each as in `payoff_heat_map`."""
    size = max((len(players) for players, _, _ in payoffs.values()), default=0)
    side = 3.0 + min(0.3 * max(size, 3), 4.0)
    figure = Figure(figsize=(side * len(payoffs) + 0.9, side), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(1, len(payoffs), squeeze=False)[0]
    for axes, (name, (players, win_rates, games)) in zip(places, payoffs.items(), strict=True):
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=7)
        image = _draw_payoff(axes, players, win_rates, games, numbered=False)
        axes.set_title(name)
    bar = figure.colorbar(image, ax=list(places), ticks=[0, 0.25, 0.5, 0.75, 1], shrink=0.85)
    bar.outline.set_visible(False)
    return _pixels(figure)


def _draw_payoff(
    axes: Axes, players: Sequence[str], win_rates: ArrayLike, games: ArrayLike, *, numbered: bool = True
) -> AxesImage:
    count = len(players)
    rates, played = np.asarray(win_rates, np.float64), np.asarray(games, np.float64) > 0
    if rates.shape != (count, count) or played.shape != (count, count):
        raise ValueError(f"{count} players need [{count}, {count}] arrays, not {rates.shape} and {played.shape}")
    axes.set_facecolor(_NO_GAMES)
    image = axes.imshow(
        np.ma.masked_array(rates, ~played), cmap="RdBu", norm=TwoSlopeNorm(0.5, 0.0, 1.0), interpolation="nearest"
    )
    if numbered and count <= _NUMBERED:
        for row, column in zip(*played.nonzero(), strict=True):
            rate = rates[row, column]
            color = "white" if abs(rate - 0.5) > 0.33 else "black"
            axes.text(column, row, f"{rate:.2f}", ha="center", va="center", fontsize=8, color=color)
    shown = _labeled(count)
    axes.set_xticks(shown, [players[i] for i in shown], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(shown, [players[i] for i in shown])
    axes.set_xlabel("opponent (gray: no games)")
    axes.set_ylabel("player")
    return image


def ratings_figure(
    ids: Sequence[str], elo: ArrayLike, low: ArrayLike | None = None, high: ArrayLike | None = None
) -> Pixels:
    """Elo [n] of each player as points, in the order given: snapshots by age, then the learners.

    With `low` and `high` [n] each has its interval; one that goes far beyond the ratings is cut off at the edge.
    Raises ValueError for another number of ratings than players.
    """
    ratings = np.asarray(elo, np.float64)
    _same_length(ids, ratings)
    figure, axes = _bars(ids, "Elo of each player")
    if low is None or high is None:
        axes.plot(range(len(ids)), ratings, color=_BLUE, marker="o", markersize=4, linewidth=1)
    else:
        ends = np.stack([ratings - np.asarray(low), np.asarray(high) - ratings])
        axes.errorbar(range(len(ids)), ratings, ends, color=_BLUE, fmt="o", markersize=4, linewidth=1)
        room = max(50.0, 0.3 * float(np.ptp(ratings)))
        axes.set_ylim(ratings.min() - min(room, ends[0].max() + 20), ratings.max() + min(room, ends[1].max() + 20))
    axes.set_ylabel("Elo")
    return _pixels(figure)


def matchmaking_figure(
    learner: str, opponents: Sequence[str], probabilities: ArrayLike, win_rates: ArrayLike
) -> Pixels:
    """How likely `learner` meets each opponent (bars) and its win rate there (points), both [n] in [0, 1].

    Raises ValueError for other numbers of probabilities or win rates than opponents.
    """
    chances, rates = np.asarray(probabilities, np.float64), np.asarray(win_rates, np.float64)
    _same_length(opponents, chances)
    _same_length(opponents, rates)
    figure, axes = _bars(opponents, f"Opponents of {learner}")
    axes.bar(range(len(opponents)), chances, color=_BLUE, width=0.8)
    axes.set_ylabel("probability of the match (bars)", color=_BLUE)
    axes.set_ylim(bottom=0)
    right = axes.twinx()
    right.plot(range(len(opponents)), rates, color=_ORANGE, marker="o", markersize=4, linestyle="none", clip_on=False)
    right.set_ylim(0, 1)
    right.set_ylabel("win rate (points)", color=_ORANGE)
    right.spines[:].set_visible(False)
    right.tick_params(length=0, labelsize=8)
    return _pixels(figure)


def curves_figure(
    title: str, x_label: str, y_label: str, curves: Mapping[str, tuple[ArrayLike, ArrayLike]], *, joined: bool = True
) -> Pixels:
    """Named curves, each x [n] and y [n]; not `joined`: as points, for x values in no order."""
    figure, axes = _figure(7.0, 4.0)
    for name, (x, y) in curves.items():
        axes.plot(x, y, label=name, marker="o", markersize=3, linewidth=1.2 if joined else 0.0, alpha=0.85)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title)
    if len(curves) > 1:
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _pixels(figure)


def bands_figure(
    title: str, x_label: str, curves: Mapping[str, Sequence[ArrayLike]], level: float | None = None
) -> Pixels:
    """Named curves with a band around each: x, y, lower and upper end, [n] each; a dashed line at `level`."""
    figure, axes = _figure(9.0, 4.5)
    if level is not None:
        axes.axhline(level, color="black", linestyle="--", linewidth=0.8)
    for name, (x, y, low, high) in curves.items():
        (line,) = axes.plot(x, y, label=name, linewidth=1.4)
        axes.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(x_label)
    axes.set_title(title)
    if curves:
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _pixels(figure)


def heat_map(title: str, x_label: str, y_label: str, values: ArrayLike, first: int = 0) -> Pixels:
    """Values [rows, columns] >= 0 as a picture, row 0 at the bottom; the first column is number `first`."""
    shown = np.asarray(values, np.float64)
    figure, axes = _figure(7.0, 4.0)
    edges = (first - 0.5, first + shown.shape[1] - 0.5, -0.5, shown.shape[0] - 0.5)
    image = axes.imshow(
        shown, cmap="viridis", vmin=0, aspect="auto", origin="lower", extent=edges, interpolation="nearest"
    )
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title)
    figure.colorbar(image, ax=axes).outline.set_visible(False)
    return _pixels(figure)


def write_png(path: Path, pixels: Pixels) -> None:
    """A picture as a PNG file, whole or not at all."""
    with replacing(path) as temporary:
        imsave(temporary, pixels, format="png")


def loglog_figure(
    title: str,
    x_label: str,
    y_label: str,
    lines: Mapping[str, tuple[ArrayLike, ArrayLike, Sequence[tuple[float, float]]]],
) -> Pixels:
    """Named lines on logarithmic axes, each x [n], y [n] > 0 and points (x, y) that are marked."""
    figure, axes = _figure(7.5, 4.5)
    for index, (name, (x, y, points)) in enumerate(lines.items()):
        color, width = _LINES[index % len(_LINES)], 1.5 + 0.8 * (len(lines) - 1 - index)  # so that equal ones are seen
        axes.plot(x, y, color=color, linewidth=width, label=name)
        if len(points):
            axes.plot(*zip(*points, strict=True), color=color, marker="o", markersize=5, linestyle="none")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title)
    axes.legend(fontsize=8, frameon=False)
    return _pixels(figure)


def store_traffic_figure(
    actors: float, bytes_per_s: Mapping[str, float], limit_bytes_per_s: float, learner_full_at: float
) -> Pixels:
    """What the store has to send, against the number of actors: a line per design, through its `bytes_per_s` at
    `actors`. Dashed: what the store can send; a cross: where a design reaches it; dotted: where the learner is full.
    """
    figure, axes = _figure(7.5, 5.0)
    limits = {design: actors * limit_bytes_per_s / now for design, now in bytes_per_s.items() if now > 0}
    marks = [actors, learner_full_at, *limits.values()]
    x = np.geomspace(min(marks) / 10, max(marks) * 10, 2)
    for index, (design, now) in enumerate(bytes_per_s.items()):
        color, width = (
            _LINES[index % len(_LINES)],
            1.5 + 0.8 * (len(bytes_per_s) - 1 - index),
        )  # so that equal ones are all seen
        axes.plot(x, now * x / actors, color=color, linewidth=width, label=design)
        if design in limits:
            axes.plot(limits[design], limit_bytes_per_s, color="black", marker="x", markersize=8, zorder=5)
    axes.axhline(limit_bytes_per_s, color="black", linestyle="--", linewidth=1, label="what the store can send")
    axes.axvline(learner_full_at, color="black", linestyle=":", linewidth=1, label="the learner is full")
    axes.axvline(actors, color=_NO_GAMES, linewidth=1, label="as planned")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("actors")
    axes.set_ylabel("bytes/s")
    axes.set_title("What the store sends (cross: its limit)")
    axes.legend(fontsize=8, frameon=False)
    return _pixels(figure)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many inches that keeps its labels inside, with one pair of axes."""
    figure = Figure(figsize=(width, height), dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
    return figure, axes


def _bars(ids: Sequence[str], title: str) -> tuple[Figure, Axes]:
    """Axes with one place on the x axis per player."""
    figure, axes = _figure(3.5 + min(0.32 * max(len(ids), 6), 7.0), 4.0)
    shown = _labeled(len(ids))
    axes.set_xticks(shown, [ids[i] for i in shown], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, max(len(ids), 4) - 0.4)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="y", color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(title)
    return figure, axes


def _labeled(count: int) -> list[int]:
    """Which of `count` players are named: all, or evenly spaced ones with the last among them."""
    every = -(-count // _LABELED) if count else 1
    return list(range(count - 1, -1, -every))[::-1]


def _same_length(ids: Sequence[str], values: NDArray[np.float64]) -> None:
    if values.shape != (len(ids),):
        raise ValueError(f"{len(ids)} players need as many values, not {values.shape}")


def _pixels(figure: Figure) -> Pixels:
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
