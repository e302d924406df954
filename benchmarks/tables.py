"""The result of a benchmark as tables, in the terminal and in docs/benchmarks.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.game import ENV, TRAINED
from benchmarks.report import LEARNING, LEARNING_PER_CORE, SAMPLING

FIGURES = {TRAINED: "trained agent steps/s", ENV: "env steps/s", "cores": "cores used"}
MODES = {SAMPLING: "sampling", LEARNING: "learning too", LEARNING_PER_CORE: "learning too, per core used"}

Rows = list[list[str]]
"""A table; the first row is its header."""


def rates_table(result: Mapping[str, Any]) -> Rows:
    """Return the table of rates with a row per contestant."""
    columns = [(mode, figure) for mode in (SAMPLING, LEARNING) for figure in FIGURES]
    header = ["contestant", *(f"{MODES[mode]}: {FIGURES[figure]}" for mode, figure in columns)]
    return [header] + [
        [entry["label"], *(median_and_range(entry[mode][figure], 2 * (figure == "cores")) for mode, figure in columns)]
        for entry in result["contestants"].values()
    ]


def ratios_table(result: Mapping[str, Any]) -> Rows:
    """Return the table of ratios with a row per ratio."""
    labels = {name: entry["label"] for name, entry in result["contestants"].items()}
    return [["ratio", "of", *MODES.values(), "target, learning too"]] + [
        [
            f"{labels[ratio['above']]} / {labels[ratio['below']]}",
            FIGURES[ratio["figure"]],
            *(median_and_range(ratio[mode], 2) for mode in MODES),
            f"{ratio['target']:g}" if ratio["target"] else "",
        ]
        for ratio in result["ratios"]
    ]


def median_and_range(values: Sequence[float], digits: int) -> str:
    """Return the median and, in a second line, the range of the rounds."""
    middle, low, high = (f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"{middle}\n{low}..{high}"


def print_table(rows: Rows, console: Console) -> None:
    """Print a table unless it has only a header."""
    if len(rows) < 2:
        return
    table = Table(*rows[0], show_lines=True)
    for row in rows[1:]:
        table.add_row(*row)
    console.print(table)


def to_markdown(rows: Rows) -> str:
    """Return the table as Markdown."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(line).replace("\n", "<br>") + " |" for line in lines)


def measurement_note(result: Mapping[str, Any]) -> str:
    """Return when, on which machine and how it was measured, for the line above the tables."""
    machine, versions = result["machine"], result["versions"]
    return (
        f"{result['time']}, commit {result['commit']}; {machine['cores']} cores ({machine['cpu']}), "
        f"load average before: {machine['load_before']:.1f}; "
        f"{', '.join(f'{name} {number}' for name, number in versions.items())}; "
        f"{result['rounds']} rounds of {result['seconds']:g} s. Median and range of the rounds."
    )


class DocsSection:
    """A generated section of a page, between the lines `<!-- begin NAME -->` and `<!-- end NAME -->`.

    Raises ValueError if the page has no such lines.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._begin, self._end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        self._around()

    def fill(self, *parts: str) -> None:
        """Replace the contents of the section by these paragraphs."""
        before, after = self._around()
        text = "\n\n".join((self._begin, *parts, self._end))
        self._path.write_text(before + text + after, encoding="utf-8")

    def _around(self) -> tuple[str, str]:
        """Return the text before and after the section."""
        # Text before the first marker, and behind the second one that follows it.
        before, begin, rest = self._path.read_text(encoding="utf-8").partition(self._begin)
        _, end, after = rest.partition(self._end)
        if not (begin and end):
            raise ValueError(f"{self._path} has no lines {self._begin} and {self._end}")
        return before, after
