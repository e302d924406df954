"""Report: one self-contained HTML file about a run, or about two runs side by side.

python -m marl_app task=report run=runs/league/<time>
python -m marl_app task=report run=DIR task.against=OTHER_RUN

Reads what the run has recorded, whether it has ended or not, and plays one match; does not start Ray.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from marl_app.assembly.instantiate import config_errors, env_factory
from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config
from marl_app.config.section import Section, key
from marl_app.durable import replacing
from marl_app.report.blocks import Absent, Boards
from marl_app.report.differences import comparison, run_names
from marl_app.report.figures import style
from marl_app.report.page import render
from marl_app.report.recorded_run import RecordedRun, read_run
from marl_app.report.sample_match import sample_match
from marl_app.report.sections import sections
from marl_app.report.words import game_name
from marl_app.runs.members import Members
from marl_app.tasks.opened_run import environment

FILE = "report.html"


@dataclass
class Report(Section):
    """The task. Its objective is 0."""

    path: ClassVar[str] = "task"
    against: str | None = key("Another run directory, to be shown next to this one; null = none.")

    def __call__(self, config: Config) -> float:
        """Write `report.html` to the run directory of this job, and print where it is."""
        assert config.run is not None  # checked by the schema
        runs = [_read("run", config.run)]
        if self.against is not None:
            runs.append(_read("task.against", self.against))
        names = [runs[0].name] if len(runs) == 1 else list(run_names(*runs))
        # Figures need the report's style while they are drawn. The match is played when its section is made.
        with style():
            first = comparison(*runs) if len(runs) == 2 else []
            shown = {name: sections(run, partial(_match, run, config)) for name, run in zip(names, runs, strict=True)}
            page = render(" and ".join(names), _subtitle(runs), first, shown)
        file = Path(config.output_dir) / FILE
        with replacing(file) as temporary:
            temporary.write_text(page, encoding="utf-8")
        print(f"report: {file}", flush=True)
        return 0.0


def _subtitle(runs: Sequence[RecordedRun]) -> str:
    games = dict.fromkeys(game_name(run.config.get("env") or {}, run.choices.get("env", "")) for run in runs)
    return f"{', '.join(games)}; report of {time.strftime('%Y-%m-%d %H:%M')}"


def _read(name: str, directory: str) -> RecordedRun:
    with config_errors(name):
        return read_run(Path(directory).expanduser())


def _match(run: RecordedRun, config: Config) -> Boards:
    """Return a match of the run's newest agent. Raises Absent if the run has none, or may not be trusted to play."""
    try:
        with config_errors("match"):
            members = Members(run.directory, config.trust)
            return sample_match(env_factory(environment(members)), members, config.seed)
    # `Absent` comes wrapped by `config_errors`: it passes as it is, and any other error as its reason.
    except ConfigError as error:
        if isinstance(error.__cause__, Absent):
            raise error.__cause__ from error
        raise Absent(str(error)) from error
