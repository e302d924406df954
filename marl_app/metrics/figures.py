"""Pictures, uint8 [height, width, 3]: payoff and ratings; curves; the plan of a league.

They are drawn with matplotlib's objects on the Agg canvas, without pyplot: no display, no global state, thread-safe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage, imsave
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from marl_app.durable import replacing

Pixels = NDArray[np.uint8]

_NUMBERED = 12  # up to this number of players the cells of the payoff show their values
_LABELED = 24  # up to this number of players all of them have a label
_NO_GAMES = "#a8a8a8"
_GRID = "#d9d9d9"
_BLUE, _ORANGE = "#3b6ea5", "#d9822b"
_LINES = (_BLUE, _ORANGE, "#4d9a5b", "#8d5aa5")


def payoff_heat_map(players: Sequence[str], win_rates: ArrayLike, games: ArrayLike) -> Pixels:
    """Return a heat map of the win rate of each row against each column.

    `win_rates`: [n, n] in [0, 1], drawn white at 0.5, blue above and red below. `games`: [n, n]; cells without games
    are gray. With at most 12 players the cells show their values; with more than 24 only some players have a label.
    Raises ValueError for other shapes.
    """
    count = len(players)
    # Inches: 0.42 per player, between 3 and about 15 players.
    side = 3.0 + min(0.42 * max(count, 3), 6.5)
    figure, axes = new_figure(side + 0.9, side)
    image = draw_payoff(axes, players, win_rates, games)
    axes.set_title("Win rate of row against column")
    bar = figure.colorbar(image, ax=axes, ticks=[0, 0.25, 0.5, 0.75, 1], shrink=0.85)
    bar.outline.set_visible(False)
    return _pixels(figure)


def payoff_heat_maps(payoffs: Mapping[str, tuple[Sequence[str], ArrayLike, ArrayLike]]) -> Pixels:
    """Return named payoffs next to each other; each is (players, win rates, games) as in `payoff_heat_map`."""
    size = max((len(players) for players, _, _ in payoffs.values()), default=0)
    side = 3.0 + min(0.3 * max(size, 3), 4.0)
    # All payoffs have the size of the largest, and share one color bar.
    figure = Figure(figsize=(side * len(payoffs) + 0.9, side), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(1, len(payoffs), squeeze=False)[0]
    for axes, (name, (players, win_rates, games)) in zip(places, payoffs.items(), strict=True):
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=7)
        image = draw_payoff(axes, players, win_rates, games, numbered=False)
        axes.set_title(name)
    bar = figure.colorbar(image, ax=list(places), ticks=[0, 0.25, 0.5, 0.75, 1], shrink=0.85)
    bar.outline.set_visible(False)
    return _pixels(figure)


def draw_payoff(
    axes: Axes, players: Sequence[str], win_rates: ArrayLike, games: ArrayLike, *, numbered: bool = True
) -> AxesImage:
    """Draw a payoff into `axes` and return its image, for the color bar. Arguments as in `payoff_heat_map`."""
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
            color = "white" if abs(rate - 0.5) > 0.33 else "black"  # readable on dark blue and dark red
            axes.text(column, row, f"{rate:.2f}", ha="center", va="center", fontsize=8, color=color)
    # The mask above leaves cells without games transparent, so that the gray of the axes shows.
    shown = labeled(count)
    axes.set_xticks(shown, [players[i] for i in shown], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(shown, [players[i] for i in shown])
    axes.set_xlabel("opponent (gray: no games)")
    axes.set_ylabel("player")
    return image


def ratings_figure(
    ids: Sequence[str], elo: ArrayLike, low: ArrayLike | None = None, high: ArrayLike | None = None
) -> Pixels:
    """Return a plot of the Elo [n] of each player, in the given order: snapshots by age, then the learners.

    `low`, `high`: [n], the ends of intervals, drawn as error bars and cut off far beyond the ratings.
    Raises ValueError unless there is one rating per player.
    """
    ratings = np.asarray(elo, np.float64)
    _same_length(ids, ratings)
    figure, axes = _bars(ids, "Elo of each player")
    if low is None or high is None:
        axes.plot(range(len(ids)), ratings, color=_BLUE, marker="o", markersize=4, linewidth=1)
    else:
        # [2, n] lengths of the error bars below and above.
        ends = np.stack([ratings - np.asarray(low), np.asarray(high) - ratings])
        axes.errorbar(range(len(ids)), ratings, ends, color=_BLUE, fmt="o", markersize=4, linewidth=1)
        # The y axis shows all ratings; intervals may extend it by 30 % of their range, or 50 Elo.
        room = max(50.0, 0.3 * float(np.ptp(ratings)))
        axes.set_ylim(ratings.min() - min(room, ends[0].max() + 20), ratings.max() + min(room, ends[1].max() + 20))
    axes.set_ylabel("Elo")
    return _pixels(figure)


def curves_figure(
    title: str, x_label: str, y_label: str, curves: Mapping[str, tuple[ArrayLike, ArrayLike]], *, joined: bool = True
) -> Pixels:
    """Return named curves, each (x [n], y [n]); with `joined` False as separate points, for unsorted x."""
    figure, axes = new_figure(7.0, 4.0)
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
    """Return named curves with bands, each (x, y, lower end, upper end), [n] each; and a dashed line at `level`."""
    figure, axes = new_figure(9.0, 4.5)
    if level is not None:
        axes.axhline(level, color="black", linestyle="--", linewidth=0.8)
    _draw_bands(axes, curves, {name: f"C{index}" for index, name in enumerate(curves)})
    axes.set_xlabel(x_label)
    axes.set_title(title)
    if curves:
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _pixels(figure)


def band_panels_figure(
    x_label: str,
    panels: Mapping[str, Mapping[str, Sequence[ArrayLike]]],
    columns: int,
    level: tuple[str, float],
) -> Pixels:
    """Return panels by title, in rows of `columns`, with curves as of `bands_figure` and equal axes; y is logarithmic.

    A name has the same color in all panels. `level`: the name and the y of a dashed line.
    """
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns + 1.2, 3.2 * rows + 0.3), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    names = dict.fromkeys(name for curves in panels.values() for name in curves)
    colors = {name: f"C{index}" for index, name in enumerate(names)}
    lines: dict[str, Artist] = {}  # by label, for one legend of all panels
    for axes, (title, curves) in zip(
        figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat, panels.items(), strict=True
    ):
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=8)
        axes.axhline(level[1], color="black", linestyle="--", linewidth=0.8, label=level[0])
        _draw_bands(axes, curves, colors)
        axes.set_yscale("log")
        axes.set_title(title, fontsize=10)
        lines |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.supxlabel(x_label, fontsize=9)
    figure.legend(lines.values(), lines.keys(), loc="outside right center", fontsize=8, frameon=False)
    return _pixels(figure)


def _draw_bands(axes: Axes, curves: Mapping[str, Sequence[ArrayLike]], colors: Mapping[str, str]) -> None:
    for name, (x, y, low, high) in curves.items():
        axes.plot(x, y, label=name, linewidth=1.4, color=colors[name])
        axes.fill_between(x, low, high, color=colors[name], alpha=0.2, linewidth=0)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def heat_map(title: str, x_label: str, y_label: str, values: ArrayLike, first: int = 0) -> Pixels:
    """Return values [rows, columns] >= 0 as a heat map, row 0 at the bottom; `first` is the x of the first column."""
    shown = np.asarray(values, np.float64)
    figure, axes = new_figure(7.0, 4.0)
    figure.set_layout_engine(None)  # drawn during training: fixed margins take half of the time
    figure.subplots_adjust(left=0.09, bottom=0.13, right=1.03, top=0.92)
    # Cells are centered on integers.
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
    """Write a picture as a PNG file, atomically."""
    with replacing(path) as temporary:
        imsave(temporary, pixels, format="png")


def loglog_figure(
    title: str,
    x_label: str,
    y_label: str,
    lines: Mapping[str, tuple[ArrayLike, ArrayLike, Sequence[tuple[float, float]]]],
) -> Pixels:
    """Return named lines on logarithmic axes, each (x [n], y [n] > 0, points (x, y) to mark)."""
    figure, axes = new_figure(7.5, 4.5)
    for index, (name, (x, y, points)) in enumerate(lines.items()):
        color, width = (
            _LINES[index % len(_LINES)],
            1.5 + 0.8 * (len(lines) - 1 - index),
        )  # wider below: equal lines show
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
    """Return a plot of the bytes/s that the store sends over the number of actors, with a line per design.

    Each line passes through the design's `bytes_per_s` at `actors` and is proportional to actors. Dashed: the limit of
    the store; cross: where a design reaches it; dotted: the number of actors at which the learner is saturated.
    """
    figure, axes = new_figure(7.5, 5.0)
    # Traffic is proportional to the number of actors, so a design reaches the limit at actors * limit / now.
    limits = {design: actors * limit_bytes_per_s / now for design, now in bytes_per_s.items() if now > 0}
    marks = [actors, learner_full_at, *limits.values()]
    # A proportional line is straight on logarithmic axes: two points are enough.
    x = np.geomspace(min(marks) / 10, max(marks) * 10, 2)
    for index, (design, now) in enumerate(bytes_per_s.items()):
        color = _LINES[index % len(_LINES)]
        width = 1.5 + 0.8 * (len(bytes_per_s) - 1 - index)  # wider below: equal lines show
        axes.plot(x, now * x / actors, color=color, linewidth=width, label=design)
        if design in limits:
            axes.plot(limits[design], limit_bytes_per_s, color="black", marker="x", markersize=8, zorder=5)
    axes.axhline(limit_bytes_per_s, color="black", linestyle="--", linewidth=1, label="limit of the store")
    axes.axvline(learner_full_at, color="black", linestyle=":", linewidth=1, label="learner saturated")
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


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of `width` x `height` inches with one pair of axes, whose layout keeps all labels inside."""
    figure = Figure(figsize=(width, height), dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
    return figure, axes


def _bars(ids: Sequence[str], title: str) -> tuple[Figure, Axes]:
    """Return a figure and axes with one place per player on the x axis."""
    figure, axes = new_figure(3.5 + min(0.32 * max(len(ids), 6), 7.0), 4.0)
    shown = labeled(len(ids))
    axes.set_xticks(shown, [ids[i] for i in shown], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, max(len(ids), 4) - 0.4)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="y", color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_title(title)
    return figure, axes


def labeled(count: int) -> list[int]:
    """Return the indices of the players with a label: all, or evenly spaced ones including the last."""
    every = -(-count // _LABELED) if count else 1  # -(-x // n) rounds up
    return list(range(count - 1, -1, -every))[::-1]


def _same_length(ids: Sequence[str], values: NDArray[np.float64]) -> None:
    if values.shape != (len(ids),):
        raise ValueError(f"{len(ids)} players need as many values, not an array of shape {values.shape}")


def _pixels(figure: Figure) -> Pixels:
    """Return the drawn figure. The copy drops alpha and releases the canvas."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
