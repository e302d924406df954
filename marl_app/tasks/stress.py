"""Stress: scale actors and pool, and see what moving snapshots costs in each design; the check of `task=plan`.

python -m marl_app task=stress                                   # simulated, and real on this machine
python -m marl_app task=stress 'task.parts=[simulated]' league/matchmaker=uniform task.actors=10000
python -m marl_app task=stress 'task.parts=[real]' 'task.real_snapshot_bytes=[200_000_000]' task.real_pool=[8]

The simulated part plays thousands of actors match by match (`planning/simulation.py`), with the settings, matchmaker
and cache code of a plan, and shows the plan's prediction beside (without a preference for what racks hold; with
league.placement_tolerance the simulation has one). The real part starts a Ray cluster of several nodes on
this machine, and moves real bytes out of the configured store. Leaves stress.json, stress.csv and pictures.
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
from marl_app.config.schema import Config, key
from marl_app.metrics.figures import loglog_figure, write_png
from marl_app.metrics.files import replacing, to_json
from marl_app.planning.limits import ActorLimit, simulate_limit
from marl_app.planning.opponents import Opponents, opponents_by_age
from marl_app.planning.result import PlanResult, plan_league
from marl_app.planning.rows import Row
from marl_app.planning.simulation import SimulatedTraffic, simulate_actors
from marl_app.planning.size import Size
from marl_app.planning.traffic import DESIGNS, LINKS, NODE, RACK_CACHE, STORE
from marl_app.tasks.plan import Plan
from marl_app.tasks.stress_tables import print_limits, print_real, print_simulated

SIMULATED, REAL = "simulated", "real"
Lines = dict[str, tuple[Any, Any, list[Any]]]


@dataclass
class Stress(Plan):
    """The task: its settings are a plan's, and how to check it. The objective is the store's bytes in the real part if
    every actor pulls everything, over those with one opponent and a cache per rack; without it, the same simulated."""

    parts: list[str] = key("What is done.", choices=(SIMULATED, REAL))
    simulated_s: float = key("Seconds that the actors play, after a warm-up of one and a half matches.", above=0)
    simulated_snapshot_bytes: list[float] = key("Sizes of snapshots that are simulated.", above=0)
    limits_store_gbit_per_s: list[float] = key("What the store sends, where limits are looked for.", above=0)
    limits_up_to_actors: int = key("Actors that are simulated at most to find a wall.", at_least=1)
    limits_s: float = key("Seconds that they play.", above=0)
    real_actors: list[int] = key("Numbers of processes; the largest is used with every size and pool.", at_least=1)
    real_nodes: int = key("Ray nodes on this machine.", at_least=1)
    real_racks: int = key("Racks that these are in.", at_least=1)
    real_pool: list[int] = key("Numbers of snapshots; the largest is used with every size and number.", at_least=1)
    real_snapshot_bytes: list[int] = key("Sizes; the first is used with every pool and number.", at_least=1000)
    real_matches: int = key("Matches that each process plays.", at_least=1)
    real_memory_bytes: float = key(
        "What snapshots may take of this machine's memory; larger cases are left out.", above=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.real_nodes % self.real_racks:
            raise ConfigError(f"task.real_nodes={self.real_nodes} is no multiple of task.real_racks={self.real_racks}")
        for name in ("real_actors", "real_pool", "real_snapshot_bytes", "simulated_snapshot_bytes"):
            if not isinstance(getattr(self, name), list) or not getattr(self, name):
                raise ConfigError(f"task.{name}={getattr(self, name)} is no list of numbers: give at least one, as [8]")

    def __call__(self, config: Config) -> float:
        size, _ = self._size(config.run)
        matchmaker = leaf("league.matchmaker", config.league.matchmaker)
        directory, rows, ratio = Path(config.output_dir), [], float("nan")

        def picked(pool: int) -> Opponents:
            return opponents_by_age(matchmaker, next(iter(config.league.learners)), pool, size.elo_per_generation)

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

    # SimulatedTraffic.

    def _simulated(
        self, size: Size, picked: Opponents, tolerance: float, seed: int, directory: Path
    ) -> tuple[list[Row], float]:
        rows: list[Row] = []
        began = time.monotonic()
        cases = []
        for snapshot_bytes in self.simulated_snapshot_bytes:
            one = replace(size, snapshot_bytes=snapshot_bytes)
            planned = plan_league(one, picked, np.random.default_rng(seed))
            for name in DESIGNS:
                rng = np.random.default_rng(seed)
                found = simulate_actors(one, picked, name, self.simulated_s, rng, tolerance)
                cases.append((planned, found))
                rows += list(_simulated_rows(planned, found))
        print_simulated(cases, time.monotonic() - began)
        found_limits = self._limits(size, picked, tolerance, seed)
        print_limits(found_limits)
        rows += [row for one in found_limits for row in _limit_rows(one)]
        self._pictures(size, picked, found_limits, cases, directory)
        moved = {found.design: found for planned, found in cases[-len(DESIGNS) :]}
        opponents_of_all = size.actors * size.replica_bytes / self.simulated_s
        return rows, opponents_of_all / max(moved["c"].snapshots[STORE], 1e-9)

    def _limits(self, size: Size, picked: Opponents, tolerance: float, seed: int) -> list[ActorLimit]:
        found = []
        for gbit_per_s in self.limits_store_gbit_per_s:
            planned = plan_league(replace(size, store_gbit_per_s=gbit_per_s), picked, np.random.default_rng(seed))
            for name in DESIGNS:
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
        """What the store sends against actors, and an actor's memory against the pool; lines are the plan's."""
        planned = cases[-1][0]
        points: dict[str, list[tuple[float, float]]] = {name: [] for name in DESIGNS}
        for one in found:
            for step in one.steps:
                if one.design in points and step.playing > 0.99:
                    points[one.design].append((step.actors, step.bytes_per_s[STORE]))
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
            held = [
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

    # Real.

    def _real(self, config: Config, picked: Callable[[int], Opponents], directory: Path) -> tuple[list[Row], float]:
        from marl_app.tasks.stress_cluster import Case, measure_designs

        actors, pool, size = max(self.real_actors), max(self.real_pool), self.real_snapshot_bytes[0]
        cases = dict.fromkeys(
            [
                *(Case(number, pool, size) for number in sorted(self.real_actors)),
                *(Case(actors, number, size) for number in sorted(self.real_pool)),
                *(Case(actors, pool, number) for number in self.real_snapshot_bytes),
            ]
        )
        store = leaf("store", config.store)
        found = measure_designs(
            store, list(cases), picked, self.real_nodes, self.real_racks, self.real_matches, self.real_memory_bytes,
            np.random.default_rng(config.seed),
        )  # fmt: skip
        print_real(found)
        by = {(one.design, one.case): one for one in found}
        main = Case(actors, pool, size)
        ratio = by["a", main].bytes[STORE] / max(1, by["c", main].bytes[STORE]) if ("a", main) in by else float("nan")
        print(f"store bytes, everything pulled over one opponent with a rack cache: {ratio:.1f} times", flush=True)
        done = [one for one in found if not one.note and one.case.snapshot_bytes == size]
        by_actors = [(one.design, one.case.actors, one.bytes[STORE]) for one in done if one.case.pool == pool]
        by_pool = [(one.design, one.case.pool, one.private) for one in done if one.case.actors == actors]
        for file, title, x_label, values in (
            ("real_store_bytes_by_actors", "Bytes out of the store", "processes", by_actors),
            ("real_memory_by_pool", "Private memory per process, mean", "snapshots in the pool", by_pool),
        ):
            lines: Lines = {}
            for name, sentence in DESIGNS.items():
                points = sorted({(x, max(1.0, y)) for design, x, y in values if design == name})
                if points:
                    lines[f"{name}: {sentence}"] = [x for x, _ in points], [y for _, y in points], points
            write_png(directory / f"{file}.png", loglog_figure(title, x_label, "bytes", lines))
        return [row for one in found for row in one.rows()], ratio


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _simulated_rows(planned: PlanResult, found: SimulatedTraffic) -> Iterator[Row]:
    design = next(one for one in planned.designs if one.name == found.design)
    note = f"snapshots of {planned.size.snapshot_bytes:g} B"
    yield Row("playing, simulated", found.playing, "share", found.design, note=note)
    yield Row("wait between matches, simulated", found.fetch_s, "s", found.design, note=note)
    for link in LINKS:
        if found.design in "ab" and link == RACK_CACHE:
            continue
        yield Row("bytes, simulated", found.bytes_per_s[link], "B/s", found.design, link, note=note)
        yield Row("bytes, planned", design.bytes_per_s(link), "B/s", found.design, link, note=note)
    if found.distortion:
        yield Row("placement distortion, simulated", found.distortion, "share", found.design, note=note)
        yield Row("placement distortion of all, simulated", found.distortion_of_all, "share", found.design, note=note)
    yield Row("memory, planned", design.node_bytes / planned.size.actors_per_node, "B", found.design, NODE, note=note)


def _limit_rows(one: ActorLimit) -> Iterator[Row]:
    note = f"store of {one.store_gbit_per_s:g} Gbit/s"
    yield Row("actor limit, planned", one.expected_actors, "actors", one.design, STORE, note=note)
    for step in one.steps:
        yield Row("playing, simulated", step.playing, "share", one.design, note=f"{note}, {step.actors} actors")
    if one.actors is not None:
        yield Row("actor limit, simulated", one.actors, "actors", one.design, STORE, note=note)


def _write(directory: Path, rows: list[Row]) -> None:
    with replacing(directory / "stress.json") as file:
        file.write_text(to_json({"rows": [asdict(row) for row in rows]}, indent=2) + "\n", encoding="utf-8")
    with replacing(directory / "stress.csv") as file, file.open("w", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, [item.name for item in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
