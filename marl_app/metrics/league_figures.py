"""Pictures of a league while it trains, uint8 [height, width, 3], readable as the thumbnails that TensorBoard shows.

All have the same size, few labels and large letters: a card of TensorBoard shows them at about half their width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from marl_app.metrics.figures import Pixels

_WIDTH, _HEIGHT, _DPI = 4.6, 3.3, 160
_LETTERS = 11.0  # points
_LABELS = 6  # of players on an axis, at most
_NUMBERED = 6  # up to this number of players the cells of the payoff show their values
_NO_GAMES, _GRID = "#a8a8a8", "#d9d9d9"
_BLUE, _ORANGE = "#3b6ea5", "#d9822b"
_COLORS = (_BLUE, _ORANGE, "#4d9a5b", "#8d5aa5", "#b0413e", "#6b6b6b")


@dataclass(frozen=True)
class Frozen:
    """A snapshot in a picture of lineages. `parent`: the index of the snapshot that its training continued from."""

    lineage: str
    agent_steps: int
    elo: float
    parent: int | None


def payoff_picture(players: Sequence[str], win_rates: ArrayLike, games: ArrayLike) -> Pixels:
    """Return a heat map of the win rate [n, n] of each row against each column; gray without `games` [n, n]."""
    rates, played = np.asarray(win_rates, np.float64), np.asarray(games, np.float64) > 0
    figure, axes = _figure("Win rate of row against column")
    axes.set_facecolor(_NO_GAMES)  # shows through the mask
    cells = np.ma.masked_array(rates, ~played)
    image = axes.imshow(cells, cmap="RdBu", norm=TwoSlopeNorm(0.5, 0.0, 1.0), interpolation="nearest", aspect="auto")
    if len(players) <= _NUMBERED:
        for row, column in zip(*played.nonzero(), strict=True):
            color = "white" if abs(rates[row, column] - 0.5) > 0.33 else "black"
            axes.text(
                column, row, f"{rates[row, column]:.2f}", ha="center", va="center", color=color, fontsize=_LETTERS
            )
    shown = _labeled(len(players))
    axes.set_xticks(shown, [_short(players[index], players) for index in shown])
    axes.set_yticks(shown, [_short(players[index], players) for index in shown])
    _color_bar(figure, axes, image, [0, 0.5, 1])
    return _pixels(figure)


def ratings_picture(players: Sequence[str], elo: ArrayLike) -> Pixels:
    """Return the Elo [n] of each player, in the given order."""
    ratings = _values(players, elo)
    figure, axes = _figure("Elo of each player")
    _player_axis(axes, players)
    axes.plot(range(len(players)), ratings, color=_BLUE, marker="o", markersize=5, linewidth=1.5)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return _pixels(figure)


def matchmaking_picture(
    learner: str, opponents: Sequence[str], probabilities: ArrayLike, win_rates: ArrayLike
) -> Pixels:
    """Return the probability that `learner` meets each opponent (bars), and its win rate there (points).

    `probabilities`, `win_rates`: [n] in [0, 1]. Self-play is in the title and has no bar: it is often so likely that
    the other bars would be invisible. Raises ValueError unless both have one value per opponent.
    """
    heights, rates = _values(opponents, probabilities), _values(opponents, win_rates)
    # Self-play is the rest of the probability.
    others = [index for index, opponent in enumerate(opponents) if opponent != learner]
    names, own = [opponents[index] for index in others], heights.sum() - heights[others].sum()
    figure, axes = _figure(f"Opponents of {learner}; itself {own:.0%}")
    _player_axis(axes, names)
    axes.bar(range(len(names)), heights[others], color=_BLUE, width=0.8)
    axes.set_ylabel("probability (bars)", color=_BLUE, fontsize=_LETTERS)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    # A second y axis on the right: win rates are in [0, 1], probabilities may be tiny.
    figure.subplots_adjust(right=0.84)
    right = axes.twinx()
    right.plot(
        range(len(names)), rates[others], color=_ORANGE, marker="o", markersize=5, linestyle="none", clip_on=False
    )
    right.set_ylim(0, 1)
    right.set_yticks([0, 0.5, 1])
    right.set_ylabel("win rate (points)", color=_ORANGE, fontsize=_LETTERS)
    right.spines[:].set_visible(False)
    right.tick_params(length=0, labelsize=_LETTERS)
    return _pixels(figure)


def opponents_picture(opponents: Sequence[str], matches: ArrayLike, last_iteration: int) -> Pixels:
    """Return each opponent's share of the matches over time, as a heat map: a row each, the first at the bottom.

    `matches`: [n, bins], the number of matches in bins of equal numbers of iterations up to `last_iteration`.
    """
    counts = np.asarray(matches, np.float64)
    # [bins] matches of all opponents.
    totals = counts.sum(0)
    # While other learners take their turns there are no matches: the bin before stays. Gray: none so far.
    newest = np.maximum.accumulate(np.where(totals > 0, np.arange(len(totals)), 0))  # [bins] index of a bin
    counts, totals = counts[:, newest], totals[newest]
    shares = np.ma.masked_array(counts, np.broadcast_to(totals == 0, counts.shape)) / np.maximum(totals, 1)
    figure, axes = _figure("Opponents over time (share of matches)")
    axes.set_facecolor(_NO_GAMES)
    if opponents:
        edges = (0, max(last_iteration, 1), -0.5, len(opponents) - 0.5)
        image = axes.imshow(
            shares, cmap="viridis", vmin=0, aspect="auto", origin="lower", extent=edges, interpolation="nearest"
        )
        _color_bar(figure, axes, image, None)
    shown = _labeled(len(opponents))
    axes.set_yticks(shown, [_short(opponents[index], opponents) for index in shown])
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel("iteration", fontsize=_LETTERS)
    return _pixels(figure)


def lineages_picture(snapshots: Sequence[Frozen]) -> Pixels:
    """Return Elo over agent steps: a point for each snapshot, joined to its parent; a color for each lineage.

    A snapshot whose training began with initial weights, or with those of a snapshot that has left, is joined to none.
    """
    figure, axes = _figure("Snapshots: Elo over agent steps")
    lineages = list(dict.fromkeys(one.lineage for one in snapshots))
    colors = {lineage: _COLORS[index % len(_COLORS)] for index, lineage in enumerate(lineages)}
    for one in snapshots:
        if one.parent is not None:
            other = snapshots[one.parent]
            style = "-" if other.lineage == one.lineage else ":"  # dotted: a learner that was reset to another's
            xs, ys = (other.agent_steps, one.agent_steps), (other.elo, one.elo)
            axes.plot(xs, ys, style, color=colors[one.lineage], linewidth=1.5)
    # The points lie over the lines, and carry the labels of the legend.
    for lineage, color in colors.items():
        points = [(one.agent_steps, one.elo) for one in snapshots if one.lineage == lineage]
        axes.plot(*zip(*points, strict=True), "o", color=color, markersize=5, label=lineage)
    if len(lineages) > 1:
        axes.legend(frameon=False, fontsize=_LETTERS - 2, handletextpad=0.1, borderpad=0)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return _pixels(figure)


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    # Room for labels of up to five characters. Matplotlib's layout engines find margins by drawing all text several
    # times: half of the time of a picture.
    figure.subplots_adjust(left=0.17, bottom=0.15, right=0.95, top=0.9)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=_LETTERS)
    axes.set_title(title, fontsize=_LETTERS + 1)
    return figure, axes


def _player_axis(axes: Axes, players: Sequence[str]) -> None:
    """Give each player a place on the x axis."""
    shown = _labeled(len(players))
    axes.set_xticks(shown, [_short(players[index], players) for index in shown])
    axes.set_xlim(-0.6, max(len(players), 4) - 0.4)
    axes.grid(axis="y", color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def _color_bar(figure: Figure, axes: Axes, image: object, ticks: list[float] | None) -> None:
    bar = figure.colorbar(image, ax=axes, ticks=ticks)  # type: ignore[arg-type]
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=_LETTERS - 1)


def _labeled(count: int) -> list[int]:
    """Return the indices of the players with a label: all, or evenly spaced ones including the last."""
    every = -(-count // _LABELS) if count else 1  # -(-x // n) rounds up
    return list(range(count - 1, -1, -every))[::-1]


def _short(player: str, players: Sequence[str]) -> str:
    """Return a short label: 3 for main@0003 of one lineage, else main@3; le0@3 for league_exploiter_0@0003."""
    lineage, at, generation = player.partition("@")
    alone = len({other.partition("@")[0] for other in players if "@" in other}) == 1
    initials = "".join(word[0] for word in lineage.split("_") if word)
    short = initials if len(initials) > 1 else lineage[:4]
    if not at:
        return short
    return str(int(generation)) if alone else f"{short}@{int(generation)}"


def _values(players: Sequence[str], values: ArrayLike) -> NDArray[np.float64]:
    """Return the values [n] as an array. Raises ValueError unless there is one per player."""
    numbers = np.asarray(values, np.float64)
    if numbers.shape != (len(players),):
        raise ValueError(f"{len(players)} players need as many values, not an array of shape {numbers.shape}")
    return numbers


def _pixels(figure: Figure) -> Pixels:
    """Return the drawn figure. The copy drops alpha and releases the canvas."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
