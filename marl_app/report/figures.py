"""The figures of the page, as SVG with text: sharp at any size and in print, and without anything from elsewhere.

Drawn with matplotlib's objects, inside of `style()`, in which texts are only text: a `$` begins no formula.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from marl_app.metrics.figures import draw_payoff, labeled, new_figure

Float64s = NDArray[np.float64]
Line = tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]
"""x and y, and perhaps the lower and the upper end of an interval: [n] each."""

COLORS = ("#3b6ea5", "#d9822b", "#4d9a5b", "#8d5aa5", "#a5473b", "#5f6b73", "#b8952f", "#3b9aa5")
_STYLE: Any = {
    "font.size": 9,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "marl_app",  # equal figures are equal texts
    "text.parse_math": False,
}
_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
_GRID, _INK = "#d9d9d9", "#222222"
_SHARES = LinearSegmentedColormap.from_list("shares", ["#ffffff", "#b9cde2", "#3b6ea5", "#14304f"])
_MOST_POINTS = 300  # of a line: more are averaged
_DPI = 200  # of what is drawn as a picture inside of an SVG
_MOST_CELLS = 1000  # of a heat map: more are a picture, because each cell as a path would make pages of megabytes
_ROW = 0.19  # inches per row of a heat map
PANEL = (4.6, 2.5)
"""Inches of a figure that takes one column of the page."""


@contextmanager
def style() -> Iterator[None]:
    """Set matplotlib's settings for figures of the page, which are global while the context lasts."""
    with rc_context(_STYLE):
        yield


def svg(figure: Figure, title: str) -> Markup:
    """Return a figure as an `<svg>` element of a page; `title` describes it to those who do not see it."""
    # Matplotlib writes a document of its own; the page embeds the element only.
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=_METADATA, dpi=_DPI)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # A page needs no namespaces; the ids of groups are the same in all figures, and nothing refers to them.
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text, count=2)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1))


def lines_figure(
    x_label: str,
    lines: Mapping[str, Line],
    limits: tuple[float, float | None] | None = None,
    colors: Mapping[str, str] | None = None,
    marked: bool = False,
) -> Figure:
    """Return lines over env steps, or another count, by name; with intervals as bands.

    limits: of the y axis, None for the upper one as it fits. colors: by name; then a single line has a legend, too.
    marked: with a marker at each point, for lines of few points.
    """
    figure, axes = new_figure(*PANEL)
    for number, (name, line) in enumerate(lines.items()):
        color = (colors or {}).get(name, COLORS[number % len(COLORS)])
        x, y, *band = (_averaged(values) for values in line)
        marker = "o" if marked or len(x) < 2 else ""
        # A single point is invisible without a marker.
        axes.plot(x, y, color=color, label=name, linewidth=1.5, marker=marker, markersize=3)
        if band:
            axes.fill_between(x, band[0], band[1], color=color, alpha=0.18, linewidth=0)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(x_label)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlim(left=0)
    if limits is not None:
        axes.set_ylim(*limits)
    if len(lines) > 1 or colors:
        axes.legend(frameon=False, fontsize=8)
    return figure


def intervals_figure(
    x_label: str, rows: Mapping[str, tuple[float, float, float]], limits: tuple[float, float] | None = None
) -> Figure:
    """Return values with intervals, (value, low, high) by name, one row each, the first on top."""
    figure, axes = new_figure(PANEL[0], 0.8 + 0.26 * len(rows))
    middle, low, high = np.array(list(rows.values())).T
    places = np.arange(len(rows))
    # A value may be outside of its interval by rounding.
    ends = np.maximum(0.0, np.stack([middle - low, high - middle]))
    axes.errorbar(middle, places, xerr=ends, fmt="o", color=COLORS[0], markersize=5, linewidth=1.8)
    axes.set_yticks(places, list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(x_label)
    if limits is not None:
        axes.set_xlim(*limits)
        axes.axvline(0.5 * sum(limits), color=_INK, linewidth=0.8, linestyle="--")
    return figure


def payoff_figure(players: Sequence[str], scores: ArrayLike, games: ArrayLike) -> Figure:
    """Return the payoff heat map of `metrics/figures.py`, in which scores have the place of win rates: [n, n] each."""
    side = 2.6 + min(0.36 * max(len(players), 4), 5.4)
    figure, axes = new_figure(side + 0.7, side)
    image = draw_payoff(axes, players, scores, games)
    figure.colorbar(image, ax=axes, ticks=[0, 0.25, 0.5, 0.75, 1], shrink=0.85).outline.set_visible(False)
    return figure


def shares_figure(rows: Sequence[str], x: Float64s, shares: Float64s, end: float, x_label: str, label: str) -> Figure:
    """Return shares [rows, n] over time as a heat map, row 0 on top; NaN: none.

    x: the n + 1 edges of the columns. end: of the x axis, which begins at 0.
    """
    figure, axes = new_figure(7.2, 0.7 + min(_ROW * max(len(rows), 3), 7.0))
    # The floor keeps the color scale valid where all shares are 0 or NaN.
    highest = max(1e-9, float(np.nanmax(shares, initial=0.0)))
    # The root makes small shares visible: a pool of 50 that is met evenly has 0.02 each.
    mesh = axes.pcolormesh(
        x, np.arange(len(rows) + 1), np.ma.masked_invalid(shares), cmap=_SHARES, norm=PowerNorm(0.5, 0.0, highest),
        edgecolors="face", linewidth=0.3, rasterized=shares.size > _MOST_CELLS,
    )  # fmt: skip
    shown = labeled(len(rows))
    axes.set_yticks(np.array(shown) + 0.5, [rows[row] for row in shown])
    axes.set_ylim(len(rows), 0)
    axes.set_xlim(0, end)
    axes.set_xlabel(x_label)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    # The color bar is at most about 2.5 inches long.
    bar = figure.colorbar(mesh, ax=axes, shrink=min(1.0, 2.5 / figure.get_figheight()), label=label)
    # A quarter of the highest share is the middle of the scale, because of the root.
    bar.set_ticks([0.0, highest / 4, highest], labels=["0", f"{highest / 4:.2g}", f"{highest:.2g}"])
    bar.ax.tick_params(length=0, labelsize=8)
    bar.outline.set_visible(False)
    return figure


def lineage_figure(
    lineages: Sequence[str],
    nodes: Mapping[str, tuple[str, float]],
    edges: Sequence[tuple[str, str]],
    end: float,
    x_label: str,
) -> Figure:
    """Return snapshots as points on a line per lineage, joined with those that their training continued from.

    nodes: player id -> its lineage and its x, of 0 to `end`. edges: (parent, child), ids in `nodes`.
    """
    figure, axes = new_figure(7.2, 0.9 + 0.42 * len(lineages))
    place = {lineage: number for number, lineage in enumerate(lineages)}
    # Solid: training went on; dashed: a learner that was reset to another lineage's snapshot.
    for parent, child in edges:
        (of_parent, x_parent), (of_child, x_child) = nodes[parent], nodes[child]
        color, line = COLORS[place[of_child] % len(COLORS)], "-" if of_parent == of_child else "--"
        axes.plot([x_parent, x_child], [place[of_parent], place[of_child]], color=color, linewidth=1.3, linestyle=line)
    children = {child for _, child in edges}
    for name, (lineage, x) in nodes.items():
        color = COLORS[place[lineage] % len(COLORS)]
        # Hollow: training began with initial weights, or with a snapshot that has left the pool.
        axes.plot(
            x,
            place[lineage],
            marker="o",
            markersize=6,
            color=color,
            markerfacecolor=color if name in children else "white",
        )
    _label_generations(axes, nodes, place)
    axes.set_yticks(list(place.values()), list(place))
    axes.set_ylim(len(lineages) - 0.5, -0.6)
    axes.set_xlim(-0.01 * end, 1.03 * end)
    axes.set_xlabel(x_label)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(axis="x", color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure


def _label_generations(axes: Axes, nodes: Mapping[str, tuple[str, float]], place: Mapping[str, int]) -> None:
    """Write the generations of at most 12 snapshots of each lineage above their points, and always of its last."""
    for lineage, row in place.items():
        own = [(name, x) for name, (of, x) in nodes.items() if of == lineage]
        # Every n-th generation, counted from the last.
        every = -(-len(own) // 12)
        for name, x in own[::-1][:: max(1, every)]:
            number = int(name.partition("@")[2] or 0)
            axes.annotate(
                str(number), (x, row), xytext=(0, 5), textcoords="offset points", ha="center", fontsize=7, color=_INK
            )


def rows_figure(
    names: Sequence[str], spans: Sequence[Sequence[tuple[float, float]]], end: float, x_label: str
) -> Figure:
    """Return a row per name, filled during its spans (start, length) of 0 to `end`."""
    figure, axes = new_figure(7.2, 0.7 + 0.24 * len(names))
    for row, filled in enumerate(spans):
        # The whole run in gray, and the spans above it.
        axes.broken_barh([(0, end)], (row - 0.3, 0.6), facecolors="#eef1f4")
        axes.broken_barh(list(filled), (row - 0.3, 0.6), facecolors=COLORS[4])
    axes.set_yticks(range(len(names)), list(names))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, max(end, 1.0))
    axes.set_xlabel(x_label)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    return figure


def _averaged(values: ArrayLike) -> Float64s:
    """Return at most `_MOST_POINTS` means of consecutive values [n]."""
    array = np.asarray(values, np.float64)
    if len(array) <= _MOST_POINTS:
        return array
    # [_MOST_POINTS] the first index of each group; `reduceat` sums from each to the next.
    starts = np.linspace(0, len(array), _MOST_POINTS, endpoint=False).astype(np.int64)
    means: Float64s = np.add.reduceat(array, starts) / np.diff([*starts, len(array)])
    return means
