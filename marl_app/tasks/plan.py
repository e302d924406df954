"""Plan: size a league before it is built, and find its first bottleneck.

python -m marl_app task=plan                                    # the settings of conf/task/plan.yaml
python -m marl_app task=plan league/matchmaker=uniform task.actors=10000
python -m marl_app task=plan run=runs/league/<time>             # rates measured from a run

Prints tables, and writes plan.json, plan.csv and plan.png to the run directory.
"""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from marl_app.assembly.instantiate import leaf
from marl_app.config.errors import ConfigError, first_line
from marl_app.config.record import read_record
from marl_app.config.schema import Config
from marl_app.config.section import key
from marl_app.durable import replacing
from marl_app.league.matchmakers.matchmaker import Matchmaker
from marl_app.metrics.figures import store_traffic_figure, write_png
from marl_app.metrics.json import to_json
from marl_app.planning import rows
from marl_app.planning.measured import settings_from_run
from marl_app.planning.opponents import opponents_by_age
from marl_app.planning.result import PlanResult, plan_league
from marl_app.planning.rows import Row
from marl_app.planning.size import Size, bytes_per_s
from marl_app.planning.traffic import DESIGNS, LEARNER, STORE
from marl_app.tasks.plan_tables import print_plan


@dataclass
class Plan(Size):
    """The task `plan`: its settings are the size of a league. Its objective is the wall-clock time in days."""

    keep: list[str] = key("Settings that measurements of a run do not replace.")

    def __post_init__(self) -> None:
        super().__post_init__()
        known = [item.name for item in fields(Size)]
        if unknown := [name for name in self.keep if name not in known]:
            raise ConfigError(f"task.keep: unknown setting {unknown[0]}: give some of {', '.join(known)}")

    def __call__(self, config: Config) -> float:
        # 1. Settings, from a run where it has measured them, and the age distribution of the matchmaker's opponents.
        size, sources = self._size(config)
        matchmaker = leaf("league.matchmaker", config.league.matchmaker, Matchmaker)
        picked = opponents_by_age(
            matchmaker, next(iter(config.league.learners)), size.pool_snapshots, size.elo_per_generation
        )
        # 2. Everything that follows from them.
        result = plan_league(size, picked, np.random.default_rng(config.seed))
        # 3. The table of assumptions, which names the source of each replaced setting.
        name = config.league.matchmaker["_target_"].rpartition(".")[2]
        assumed = rows.assumptions(size, sources)
        assumed.append(Row("matches against snapshots", result.opponents.share, "share", note=f"matchmaker {name}"))
        directory = Path(config.output_dir)
        _write(directory, result, assumed)  # before printing, which a pipe to `head` may interrupt
        print_plan(result, assumed)
        print(f"plan: {directory}  (plan.json, plan.csv, plan.png)", flush=True)
        return result.wall_clock_s / rows.DAY

    def _size(self, config: Config) -> tuple[Size, dict[str, str]]:
        """Return the settings, with measurements of a run in place of some, and the source of each replaced setting."""
        run = config.run
        # The settings of a size, without `keep`.
        size = Size(**{item.name: getattr(self, item.name) for item in fields(Size)})
        if run is None:
            return size, {}
        directory = Path(run).expanduser()
        if not directory.is_dir():
            raise ConfigError(f"run={run}: there is no such directory: give the directory of a run")
        if not (directory / "summary.json").is_file():
            raise ConfigError(f"run={run}: no run has ended in this directory (summary.json is missing): give another")
        try:
            recorded = read_record(directory, ["runtime"], config.trust)
            values = settings_from_run(directory, recorded.runtime, self.sides, self.agents_per_side)
        except Exception as error:  # any fault in the files of a run has the same fix: another run
            raise ConfigError(f"run={run}: cannot plan from this run: {first_line(error)}") from error
        # `keep` protects settings from being replaced.
        values = {name: value for name, value in values.items() if name not in self.keep}
        return replace(size, **values), dict.fromkeys(values, "run")


def _write(directory: Path, result: PlanResult, assumed: list[Row]) -> None:
    """Write all rows as JSON and CSV, and the picture."""
    result_rows = [
        *rows.time_and_storage(result),
        *rows.hit_rates(result),
        *rows.traffic(result),
        *rows.limits(result),
        *rows.growth(result),
    ]
    content = {"assumptions": [asdict(row) for row in assumed], "rows": [asdict(row) for row in result_rows]}
    with replacing(directory / "plan.json") as file:
        file.write_text(to_json(content, indent=2) + "\n", encoding="utf-8")
    with replacing(directory / "plan.csv") as file, file.open("w", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, [item.name for item in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in (*assumed, *result_rows))
    label = {design.name: f"{design.name}: {DESIGNS[design.name]}" for design in result.designs}
    # The store's bytes/s grow linearly with the actors: one line per design, next to the capacity of the link.
    picture = store_traffic_figure(
        result.size.actors,
        {label[design.name]: design.bytes_per_s(STORE) for design in result.designs},
        bytes_per_s(result.size.store_gbit_per_s),
        # The actors that keep the learner busy, the same in every design.
        result.size.actors / next(iter(result.used.values()))[LEARNER],
    )
    write_png(directory / "plan.png", picture)
