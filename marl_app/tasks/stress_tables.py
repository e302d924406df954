"""Prints the results of a stress test as tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from marl_app.planning.limits import ActorLimit
from marl_app.planning.result import PlanResult
from marl_app.planning.simulation import SimulatedTraffic
from marl_app.planning.traffic import DESIGNS, LINKS, RACK_CACHE, STORE
from marl_app.tasks.plan_tables import WIDTH, empty_table, format_number, format_scaled

if TYPE_CHECKING:
    from marl_app.tasks.stress_cluster import DesignMeasurement

NAMES = "; ".join(f"{name} = {sentence}" for name, sentence in DESIGNS.items())


def print_simulated(cases: Sequence[tuple[PlanResult, SimulatedTraffic]], seconds: float) -> None:
    """Print simulated and planned bytes, by snapshot size, design and link."""
    size = cases[0][0].size
    title = (
        f"{size.actors:,} actors, {size.pool_snapshots} snapshots, simulated in {seconds:.0f} s; bytes of "
        f"opponents and trainee\n{NAMES}"
    )
    shown = empty_table(
        title, " snapshot", "design", "link", " simulated", " planned", "unit", " error", " hits", " wait s", " playing"
    )
    for planned, found in cases:
        design = next(candidate for candidate in planned.designs if candidate.name == found.design)
        (bytes_each,), unit_each = format_scaled([planned.size.snapshot_bytes], "B")
        for link in LINKS:
            values = [found.bytes_per_s[link], design.bytes_per_s(link)]
            if not any(values):
                continue
            texts, unit = format_scaled(values, "B/s")
            error = f"{100 * (values[0] / values[1] - 1):+.1f} %" if values[1] else ""
            # What is true of a design and not of a link stands in the row of its first link.
            first = link == STORE
            hits = f"{100 * found.hit_rate:.2f} %" if first and found.design in "cd" else ""
            rest = (hits, format_number(found.fetch_s, 2), f"{100 * found.playing:.1f} %") if first else ("", "", "")
            shown.add_row(f"{bytes_each} {unit_each}" if first else "", found.design, link, *texts, unit, error, *rest)
    _print(shown)
    for planned, found in cases:
        if found.distortion:
            single, overall = 100 * found.distortion, 100 * found.distortion_of_all
            print(
                f"{found.design}, snapshots of {planned.size.snapshot_bytes:,.0f} B: placement moves {single:.1f} % of "
                f"the matchmaker's probability per assignment, {overall:.1f} % over all; the plan assumes no placement"
            )


def print_limits(found: Sequence[ActorLimit]) -> None:
    """Print the number of actors up to which the store's link suffices, simulated and planned."""
    shown = empty_table(
        "Actor limits of the store's link", "design", " store", "unit", " simulated",
        " planned", " error", "beyond the limit",
    )  # fmt: skip
    for limit in found:
        last = limit.steps[-1]
        # Without an overloaded simulation the limit is beyond the largest number of actors.
        limit_text = format_number(limit.actors) if limit.actors is not None else f"> {last.actors:,}"
        error = f"{100 * (limit.actors / limit.expected_actors - 1):+.1f} %" if limit.actors is not None else ""
        beyond = f"{last.actors:,} actors play {100 * last.playing:.0f} % of the time"
        bandwidth, planned = format_number(limit.store_gbit_per_s), format_number(limit.expected_actors)
        shown.add_row(
            limit.design, bandwidth, "Gbit/s", limit_text, planned, error, beyond if limit.actors is not None else ""
        )
    if found:
        _print(shown)


def print_real(found: Sequence[DesignMeasurement]) -> None:
    """Print what the real part moved, by case and design; then the cases that were left out."""
    shown = empty_table(
        f"Real: Ray nodes on this machine\n{NAMES}", " processes", " pool", " snapshot", "design", " store", " planned",
        "unit", " error", " racks to nodes", " planned", "unit", " hits", " private memory", "unit", " s",
    )  # fmt: skip
    left_out = []
    for result in found:
        case = result.case
        (each,), unit = format_scaled([case.snapshot_bytes], "B")
        head = str(case.actors), str(case.pool), f"{each} {unit}", result.design
        if result.note:
            left_out.append(f"left out: {', '.join(head)}: {result.note}")
            continue
        # (measured, planned, unit) of each link.
        store, racks = (
            (*texts, unit) for texts, unit in (_moved_and_planned(result, link) for link in (STORE, RACK_CACHE))
        )
        (memory,), memory_unit = format_scaled([result.private], "B")
        error = f"{100 * (result.bytes[STORE] / result.planned[STORE] - 1):+.1f} %" if result.planned[STORE] else ""
        hits = f"{100 * result.hit_rate:.0f} %" if result.design in "cd" else ""
        shown.add_row(*head, *store, error, *racks, hits, memory, memory_unit, format_number(result.seconds, 2))
    _print(shown, 70)
    for line in left_out:
        print(line)


def _moved_and_planned(result: DesignMeasurement, link: str) -> tuple[list[str], str]:
    """Format the moved and the planned bytes of a link with a common unit."""
    return format_scaled([result.bytes[link], result.planned[link]], "B")


def _print(shown: Table, wider: int = 30) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH + wider)
    console.print(shown)
