"""Prints a plan as tables in the terminal, with a unit in every row."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from marl_app.planning import rows
from marl_app.planning.result import PlanResult
from marl_app.planning.rows import Row
from marl_app.planning.size import bytes_per_s
from marl_app.planning.traffic import DESIGNS, LEARNER, LINKS, MEMORY, SHARED, STORE

WIDTH = 100  # characters per line in a file or pipe, which have no width


def print_plan(result: PlanResult, assumed: Sequence[Row]) -> None:
    """Print the plan to standard output."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    tables = (
        _rows_table("Assumptions", assumed, "source"),
        _rows_table("Time and storage", rows.time_and_storage(result), ""),
        _hits(result),
        _traffic(result),
        _limits(result),
        _growth(result),
    )
    for table in tables:
        if table.row_count:
            console.print(table)


def format_number(value: float, digits: int = 4) -> str:
    """Format with `digits` significant digits and commas: 0.2963, 173.6, 12,500; extreme values as 8.64e+11."""
    if value and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.{digits}g}"
    # Decimals after the point that give `digits` significant digits.
    decimals = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:,.{max(0, decimals)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_percent(share: float) -> str:
    """Format a share as a percentage with two significant digits."""
    return f"{format_number(100 * share, 2)} %"


def format_scaled(values: Sequence[float], unit: str) -> tuple[list[str], str]:
    """Format numbers with a common unit: bytes get the prefix that suits the largest value, shares become percent."""
    if unit in ("B", "B/s"):
        # The power of 1000 of the prefix: none, k, M, G, T, P.
        largest = max(map(abs, values))
        power = min(5, max(0, int(math.log10(largest) // 3))) if largest >= 1 else 0
        return [format_number(value / 1000**power) for value in values], " kMGTP"[power].strip() + unit
    if unit == "share":
        return [format_number(100 * value) for value in values], "%"
    return [format_number(value) for value in values], unit


def empty_table(title: str, *columns: str) -> Table:
    """Return an empty table. A column whose name begins with a blank holds numbers, and is right-aligned."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold")
    for column in columns:
        table.add_column(column.strip(), justify="right" if column.startswith(" ") else "left", no_wrap=True)
    return table


def _rows_table(title: str, lines: Sequence[Row], last: str) -> Table:
    """Return a table with one line per row; `last` is the title of the column of notes."""
    table = empty_table(title, "quantity", " value", "unit", last)
    for row in lines:
        (value,), unit = format_scaled([row.value], row.unit)
        table.add_row(row.quantity, value, unit, row.note)
    return table


def _hits(result: PlanResult) -> Table:
    """Return the hit rate of each cache, in percent."""
    table = empty_table("Hit rates of requests for snapshots", "cache", " simulated", " +-", " formula", "unit")
    for hit in result.hits:
        (value, error), unit = format_scaled([hit.simulated.value, hit.simulated.error], "share")
        formula = "" if hit.closed_form is None else format_number(100 * hit.closed_form)
        table.add_row(hit.cache, value, error, formula, unit)
    return table


def _traffic(result: PlanResult) -> Table:
    """Return the bytes and utilization by design and link."""
    names = "; ".join(f"{name} = {sentence}" for name, sentence in DESIGNS.items())
    columns = "design", "link", " snapshots", " trainee's weights", " both", "unit", " utilization"
    table = empty_table(f"Bytes by design, with actors that play at full speed\n{names}", *columns)
    for design in result.designs:
        # First the initial fill of caches or actors, then the steady state of each link, then a node's memory.
        used = result.used[design.name]
        (fill,), unit = format_scaled([design.first_fill_bytes], "B")
        hours = design.first_fill_bytes / bytes_per_s(result.size.store_gbit_per_s) / 3600
        table.add_row(design.name, f"{STORE}, once", fill, "", fill, unit, f"for {format_number(hours, 2)} h")
        for link in LINKS:
            moved = design.snapshots[link].value, design.weights[link], design.bytes_per_s(link)
            values, unit = format_scaled(moved, "B/s")
            table.add_row(
                design.name, f"{link}{'' if link in SHARED else ', each'}", *values, unit, format_percent(used[link])
            )
        (memory,), unit = format_scaled([design.node_bytes], "B")
        table.add_row(
            design.name, f"{MEMORY}, each", "", "", memory, unit, format_percent(used[MEMORY]), end_section=True
        )
    return table


def _limits(result: PlanResult) -> Table:
    """Return the bottleneck and the actor limit of each design."""
    columns = "design", "bottleneck", " utilization", " store full at", " learner full at", " actor limit", "unit"
    table = empty_table("Actor limits", *columns)
    all_rows = rows.limits(result)
    for name in DESIGNS:
        # Only "full at" has several rows per design: one for each shared resource.
        row = {
            (row.quantity, row.link if row.quantity == "full at" else ""): row for row in all_rows if row.design == name
        }
        bottleneck, limit = row["bottleneck", ""], row["actor limit", ""]
        counts = [
            format_number(row["full at", STORE].value),
            format_number(row["full at", LEARNER].value),
            format_number(limit.value),
        ]
        table.add_row(name, bottleneck.link, format_percent(bottleneck.value), *counts, limit.unit)
    return table


def _growth(result: PlanResult) -> Table:
    """Return how quantities grow with the agents per side, one column per number of agents."""
    all_rows = rows.growth(result)
    agents = list(dict.fromkeys(row.note for row in all_rows))
    table = empty_table(
        "Agents per side that share a network", "quantity", *(f" {name.split()[0]}" for name in agents), "unit"
    )
    # Each number of agents has the same rows in the same order, so zip yields one quantity at a time.
    for same in zip(*([row for row in all_rows if row.note == name] for name in agents), strict=True):
        values, unit = format_scaled([row.value for row in same], same[0].unit)
        where = f", {same[0].link}, design {same[0].design}" if same[0].design else ""
        table.add_row(f"{same[0].quantity}{where}", *values, unit)
    return table
