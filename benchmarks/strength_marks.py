"""Fixed marks of strength, when a curve first reaches them, and the table of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.tables import Rows

NASH_CONV = "nash_conv"
SOLVED = "value_preserving_moves"


class Point(NamedTuple):
    """A measurement of a player after some training.

    low, high: the ends of its 95 % interval; both are the value if it is exact.
    """

    seconds: float
    env_steps: float
    value: float
    low: float
    high: float


class Mark(NamedTuple):
    """A value of a measure of a game: NashConv has to fall to it, other measures have to rise to it."""

    game: str
    measure: str
    value: float
    text: str


MARKS = (
    Mark("connect_four", "mcts_100", 0.5, "Connect Four: 0.5 against mcts_100"),
    Mark("connect_four", "mcts_100", 0.75, "Connect Four: 0.75 against mcts_100"),
    Mark("connect_four", "mcts_1000", 0.5, "Connect Four: 0.5 against mcts_1000"),
    Mark("connect_four", SOLVED, 0.9, "Connect Four: 0.90 value-preserving moves"),
    Mark("kuhn_poker", NASH_CONV, 0.05, "Kuhn poker: NashConv 0.05"),
    Mark("kuhn_poker", NASH_CONV, 0.02, "Kuhn poker: NashConv 0.02"),
    Mark("leduc_poker", NASH_CONV, 1.0, "Leduc poker: NashConv 1.0"),
    Mark("leduc_poker", NASH_CONV, 0.5, "Leduc poker: NashConv 0.5"),
    Mark("leduc_poker", NASH_CONV, 0.3, "Leduc poker: NashConv 0.3"),
)

Curves = Mapping[str, Sequence[Point]]
"""Measure -> points in the order of time."""


class Reached(NamedTuple):
    """When a mark was reached. at_most: the first point had it already, so it was reached then or earlier."""

    seconds: float
    env_steps: float
    at_most: bool = False


def first_reached(points: Sequence[Point], mark: Mark) -> Reached | None:
    """Return where the curve first reaches the mark, on the straight line between two points; None if it does not."""
    # NashConv falls, other measures rise: with the sign a point has reached the mark if it is not below it.
    sign = -1 if mark.measure == NASH_CONV else 1
    for index, point in enumerate(points):
        if sign * (point.value - mark.value) < 0:
            continue
        if index == 0:
            return Reached(point.seconds, point.env_steps, at_most=True)
        before = points[index - 1]  # short of the mark, so the two values differ
        # Linear between the last point short of the mark and this one.
        share = (mark.value - before.value) / (point.value - before.value)
        return Reached(
            before.seconds + share * (point.seconds - before.seconds),
            before.env_steps + share * (point.env_steps - before.env_steps),
        )
    return None


def cells(curves: Curves, mark: Mark) -> list[str]:
    """Return minutes and env steps to the mark as text; empty for a measure that was not taken."""
    points = curves.get(mark.measure, ())
    if not points:
        return ["", ""]
    reached = first_reached(points, mark)
    if reached is None:
        values = [point.value for point in points]
        best = min(values) if mark.measure == NASH_CONV else max(values)
        last = points[-1]
        # 3 digits: 0.498 must not look like the mark 0.5.
        return [f"not in {minutes(last.seconds)} min (best {best:.3f})", f"not in {rounded(last.env_steps)}"]
    bound = "at most " if reached.at_most else ""
    return [bound + minutes(reached.seconds), bound + rounded(reached.env_steps)]


def minutes(seconds: float) -> str:
    """Return a time in minutes: 14.98 minutes as 15, 0.52 minutes as 0.5."""
    return f"{round(seconds / 60, 1):g}"


def rounded(env_steps: float) -> str:
    """Return a number of env steps in thousands or millions: 12 k, 1.75 M."""
    return f"{env_steps / 1e6:.2f} M" if env_steps >= 1e6 else f"{env_steps / 1e3:.0f} k"


def marks_table(results: Mapping[str, Curves]) -> Rows:
    """Return the table with a row per mark of the games that were trained.

    results: game, or "tutorial", which plays Connect Four -> curves.
    """
    rows = [["mark", "ours: minutes", "ours: env steps", "tutorial: minutes", "tutorial: env steps"]]
    for mark in MARKS:
        tutorial = results.get("tutorial", {}) if mark.game == "connect_four" else {}
        found = [*cells(results.get(mark.game, {}), mark), *cells(tutorial, mark)]
        if any(found):
            rows.append([mark.text, *found])
    return rows
