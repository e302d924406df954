"""Stress: measure what moving snapshots costs in each design as actors and pool grow; the check of `task=plan`.

python -m marl_app task=stress                                   # simulated, and real on this machine
python -m marl_app task=stress 'task.parts=[simulated]' league/matchmaker=uniform task.actors=10000
python -m marl_app task=stress 'task.parts=[real]' 'task.real_snapshot_bytes=[200_000_000]' task.real_pool=[8]

The simulated part plays thousands of actors match by match (`planning/simulation.py`), with the settings, matchmaker
and cache code of a plan, and shows the plan's prediction for comparison. (The plan ignores league.placement_tolerance,
the simulation uses it.) The real part starts a Ray cluster of several nodes on this machine, and moves real bytes out
of the configured store. Writes stress.json, stress.csv and pictures to the run directory.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from marl_app.assembly.instantiate import leaf
from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config
from marl_app.config.section import key
from marl_app.durable import replacing
from marl_app.league.matchmakers.matchmaker import Matchmaker
from marl_app.metrics.figures import loglog_figure, write_png
from marl_app.metrics.json import to_json
from marl_app.planning.limits import ActorLimit, simulate_limit
from marl_app.planning.opponents import Opponents, opponents_by_age
from marl_app.planning.result import PlanResult, plan_league
from marl_app.planning.rows import Row
from marl_app.planning.simulation import SimulatedTraffic, simulate_actors
from marl_app.planning.size import Size
from marl_app.planning.traffic import DESIGNS, LINKS, NODE, RACK_CACHE, STORE
from marl_app.store.store import Store
from marl_app.tasks.plan import Plan
from marl_app.tasks.stress_tables import print_limits, print_real, print_simulated

SIMULATED, REAL = "simulated", "real"
Lines = dict[str, tuple[Any, Any, list[Any]]]
"""label -> (x values of the line, y values of the line, points (x, y)), for `loglog_figure`."""


@dataclass
class Stress(Plan):
    """The task `stress`: the settings of a plan, and those of its check.

    The objective is a ratio of bytes out of the store: those of actors that all pull the pool, to those of actors with
    one opponent and a cache per rack. It comes from the real part, or from the simulated part if that is all that runs.
    """

    parts: list[str] = key("Parts to run.", choices=(SIMULATED, REAL))
    simulated_s: float = key("Seconds of play after a warm-up of one and a half matches.", above=0)
    simulated_snapshot_bytes: list[float] = key("Snapshot sizes to simulate.", above=0)
    limits_store_gbit_per_s: list[float] = key("Bandwidths of the store to simulate limits for.", above=0)
    limits_up_to_actors: int = key("Largest number of actors simulated for a limit.", at_least=1)
    limits_s: float = key("Seconds of play in these simulations.", above=0)
    real_actors: list[int] = key("Numbers of processes; each size and pool uses the largest.", at_least=1)
    real_nodes: int = key("Ray nodes on this machine.", at_least=1)
    real_racks: int = key("Racks of these nodes.", at_least=1)
    real_pool: list[int] = key("Pool sizes; each snapshot size and number of processes uses the largest.", at_least=1)
    real_snapshot_bytes: list[int] = key("Snapshot sizes; each pool and number uses the first.", at_least=1000)
    real_matches: int = key("Matches per process.", at_least=1)
    real_memory_bytes: float = key(
        "Memory of this machine that snapshots may take; larger cases are left out.", above=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.real_nodes % self.real_racks:
            raise ConfigError(
                f"task.real_nodes={self.real_nodes} is no multiple of task.real_racks={self.real_racks}: "
                "give a multiple of it"
            )
        # `parts` is checked by its choices.
        for name in ("real_actors", "real_pool", "real_snapshot_bytes", "simulated_snapshot_bytes"):
            if not isinstance(getattr(self, name), list) or not getattr(self, name):
                raise ConfigError(f"task.{name}={getattr(self, name)} is no list of numbers: give a list such as [8]")

    def __call__(self, config: Config) -> float:
        size, _ = self._size(config)
        matchmaker = leaf("league.matchmaker", config.league.matchmaker, Matchmaker)
        directory, rows, ratio = Path(config.output_dir), [], float("nan")

        def picked(pool: int) -> Opponents:
            """Return the matchmaker's opponents in a pool of `pool` snapshots."""
            return opponents_by_age(matchmaker, next(iter(config.league.learners)), pool, size.elo_per_generation)

        # The objective of the real part replaces that of the simulated part.
        if SIMULATED in self.parts:
            tolerance = config.league.placement_tolerance
            found, ratio = self._simulated(size, picked(size.pool_snapshots), tolerance, config.seed, directory)
            rows += found
        if REAL in self.parts:
            found, ratio = self._real(config, picked, directory)
            rows += found
        _write(directory, rows)
        print(f"stress: {directory}  (stress.json, stress.csv, pictures)", flush=True)
        return ratio

    # The simulated part.

    def _simulated(
        self, size: Size, picked: Opponents, tolerance: float, seed: int, directory: Path
    ) -> tuple[list[Row], float]:
        """Simulate all snapshot sizes and designs, then the actor limits; return the rows and the objective."""
        rows: list[Row] = []
        began = time.monotonic()
        cases = []
        for snapshot_bytes in self.simulated_snapshot_bytes:
            case_size = replace(size, snapshot_bytes=snapshot_bytes)
            planned = plan_league(case_size, picked, np.random.default_rng(seed))
            for name in DESIGNS:
                # The same seed for all designs, so that they differ only in their caches.
                rng = np.random.default_rng(seed)
                found = simulate_actors(case_size, picked, name, self.simulated_s, rng, tolerance)
                cases.append((planned, found))
                rows += list(_simulated_rows(planned, found))
        print_simulated(cases, time.monotonic() - began)
        found_limits = self._limits(size, picked, tolerance, seed)
        print_limits(found_limits)
        rows += [row for limit in found_limits for row in _limit_rows(limit)]
        self._pictures(size, picked, found_limits, cases, directory)
        # The last snapshot size; the pool is pulled once, in the time that is simulated.
        moved = {found.design: found for planned, found in cases[-len(DESIGNS) :]}
        all_pull = size.actors * size.replica_bytes / self.simulated_s
        # The floor avoids a division by zero for a matchmaker that never picks a snapshot.
        return rows, all_pull / max(moved["c"].snapshots[STORE], 1e-9)

    def _limits(self, size: Size, picked: Opponents, tolerance: float, seed: int) -> list[ActorLimit]:
        """Simulate the actor limit of each design at each bandwidth of the store."""
        found = []
        for gbit_per_s in self.limits_store_gbit_per_s:
            planned = plan_league(replace(size, store_gbit_per_s=gbit_per_s), picked, np.random.default_rng(seed))
            for name in DESIGNS:
                # The plan's limit: the actors at which the store's link is fully used.
                expected = size.actors / planned.used[name][STORE]
                rng = np.random.default_rng(seed)
                most = max(self.limits_up_to_actors, size.actors_per_rack)
                found.append(simulate_limit(planned.size, picked, name, expected, most, self.limits_s, rng, tolerance))
        return found

    def _pictures(
        self,
        size: Size,
        picked: Opponents,
        found: list[ActorLimit],
        cases: list[tuple[PlanResult, SimulatedTraffic]],
        directory: Path,
    ) -> None:
        """Draw the store's bytes/s over actors, and an actor's memory over the pool.

        Lines show the plan, points the simulations without waiting.
        """
        planned = cases[-1][0]
        points: dict[str, list[tuple[float, float]]] = {name: [] for name in DESIGNS}
        for limit in found:
            # Only simulations without waiting: beyond the limit the link caps the bytes.
            for step in limit.steps:
                if limit.design in points and step.playing > 0.99:
                    points[limit.design].append((step.actors, step.bytes_per_s[STORE]))
        # The plan is linear in the actors: two ends make a straight line on logarithmic axes.
        actors = np.geomspace(size.actors_per_rack, 1e5, 2)
        lines = {
            f"{name}: {DESIGNS[name]}": (
                actors,
                actors / size.actors * design.bytes_per_s(STORE),
                sorted(points[name]),
            )
            for name, design in zip(DESIGNS, planned.designs, strict=True)
        }
        picture = loglog_figure("What the store sends (points: simulated)", "actors", "bytes/s", lines)
        write_png(directory / "store_bytes_by_actors.png", picture)
        pools = np.unique(np.geomspace(1, size.pool_snapshots, 12).astype(int))
        memory: Lines = {}
        for index, name in enumerate(DESIGNS):
            # Memory depends on the size of the pool only, so equal probabilities and a fixed generator do.
            held = [  # bytes per actor, by pool size
                plan_league(
                    replace(size, pool_snapshots=int(pool)), Opponents(picked.share, np.full(pool, 1 / pool)), _rng()
                )
                .designs[index]
                .node_bytes
                / size.actors_per_node
                for pool in pools
            ]
            memory[f"{name}: {DESIGNS[name]}"] = (pools, held, [])
        picture = loglog_figure("Memory for snapshots, per actor", "snapshots in the pool", "bytes", memory)
        write_png(directory / "memory_by_pool.png", picture)

    # The real part.

    def _real(self, config: Config, picked: Callable[[int], Opponents], directory: Path) -> tuple[list[Row], float]:
        """Measure all cases on a Ray cluster of this machine; return the rows and the objective."""
        # Imported here, because the simulated part needs no Ray.
        from marl_app.tasks.stress_cluster import Case, measure_designs

        actors, pool, size = max(self.real_actors), max(self.real_pool), self.real_snapshot_bytes[0]
        # Vary one quantity at a time; dict.fromkeys removes duplicates and keeps the order.
        cases = dict.fromkeys(
            [
                *(Case(number, pool, size) for number in sorted(self.real_actors)),
                *(Case(actors, number, size) for number in sorted(self.real_pool)),
                *(Case(actors, pool, number) for number in self.real_snapshot_bytes),
            ]
        )
        store = leaf("store", config.store, Store)
        found = measure_designs(
            store, list(cases), picked, self.real_nodes, self.real_racks, self.real_matches, self.real_memory_bytes,
            np.random.default_rng(config.seed),
        )  # fmt: skip
        print_real(found)
        # The objective, from the largest numbers of actors and of snapshots. Design a needs the most memory there, and
        # may have been left out, as may all others.
        main = Case(actors, pool, size)
        sent = {result.design: result.bytes[STORE] for result in found if result.case == main and not result.note}
        ratio = sent["a"] / max(1, sent["c"]) if {"a", "c"} <= sent.keys() else float("nan")
        print(f"store bytes, whole pool pulled / one opponent with a rack cache: {ratio:.1f}", flush=True)
        # Curves over one quantity, with the other two at their main value.
        done = [result for result in found if not result.note and result.case.snapshot_bytes == size]
        by_actors = [(r.design, r.case.actors, r.bytes[STORE]) for r in done if r.case.pool == pool]
        by_pool = [(r.design, r.case.pool, r.private) for r in done if r.case.actors == actors]
        for file, title, x_label, values in (
            ("real_store_bytes_by_actors", "Bytes out of the store", "processes", by_actors),
            ("real_memory_by_pool", "Private memory per process, mean", "snapshots in the pool", by_pool),
        ):
            lines: Lines = {}
            for name, sentence in DESIGNS.items():
                # Logarithmic axes have no 0.
                points = sorted({(x, max(1.0, y)) for design, x, y in values if design == name})
                if points:
                    lines[f"{name}: {sentence}"] = [x for x, _ in points], [y for _, y in points], points
            if lines:  # else all cases were left out
                write_png(directory / f"{file}.png", loglog_figure(title, x_label, "bytes", lines))
        return [row for result in found for row in result.rows()], ratio


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _simulated_rows(planned: PlanResult, found: SimulatedTraffic) -> Iterator[Row]:
    """Yield the simulated and the planned numbers of one design."""
    design = next(candidate for candidate in planned.designs if candidate.name == found.design)
    note = f"snapshots of {planned.size.snapshot_bytes:g} B"
    yield Row("playing, simulated", found.playing, "share", found.design, note=note)
    yield Row("wait between matches, simulated", found.fetch_s, "s", found.design, note=note)
    for link in LINKS:
        # These designs have no rack cache.
        if found.design in "ab" and link == RACK_CACHE:
            continue
        yield Row("bytes, simulated", found.bytes_per_s[link], "B/s", found.design, link, note=note)
        yield Row("bytes, planned", design.bytes_per_s(link), "B/s", found.design, link, note=note)
    if found.distortion:
        yield Row("placement distortion, simulated", found.distortion, "share", found.design, note=note)
        yield Row("placement distortion of all, simulated", found.distortion_of_all, "share", found.design, note=note)
    yield Row("memory, planned", design.node_bytes / planned.size.actors_per_node, "B", found.design, NODE, note=note)


def _limit_rows(limit: ActorLimit) -> Iterator[Row]:
    """Yield the simulated and the planned actor limit of one design, and the simulations around it."""
    note = f"store of {limit.store_gbit_per_s:g} Gbit/s"
    yield Row("actor limit, planned", limit.expected_actors, "actors", limit.design, STORE, note=note)
    for step in limit.steps:
        yield Row("playing, simulated", step.playing, "share", limit.design, note=f"{note}, {step.actors} actors")
    if limit.actors is not None:
        yield Row("actor limit, simulated", limit.actors, "actors", limit.design, STORE, note=note)


def _write(directory: Path, rows: list[Row]) -> None:
    """Write all rows as JSON and CSV."""
    with replacing(directory / "stress.json") as file:
        file.write_text(to_json({"rows": [asdict(row) for row in rows]}, indent=2) + "\n", encoding="utf-8")
    with replacing(directory / "stress.csv") as file, file.open("w", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, [item.name for item in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
