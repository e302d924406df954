"""Simulate: compare matchmakers and schedules on synthetic players, each a few numbers, before spending compute.

python -m marl_app task=simulate league/matchmaker=pfsp         # synthetic players
python -m marl_app task=simulate run=runs/league/<time>         # the players of a recorded run
python -m marl_app +experiment=simulate_schemes                 # several matchmakers in one table

Prints a table, and writes simulate.json, simulate.csv and simulate.png to the run directory.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich.console import Console
from rich.table import Table

from marl_app.assembly.instantiate import league, roster
from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config
from marl_app.config.section import Section, key
from marl_app.durable import replacing
from marl_app.league.matchmakers.matchmaker import Matchmaker
from marl_app.metrics.figures import curves_figure, write_png
from marl_app.metrics.json import to_json
from marl_app.runs.checkpoints import latest_state
from marl_app.simulation.disc import Disc
from marl_app.simulation.measures import Window
from marl_app.simulation.play import INTRUDER, Learning, Pace, Simulation, SimulationHistory, Trick
from marl_app.simulation.recorded import Recorded, RecordedSchedule


@dataclass
class Simulate(Section):
    """The task `simulate`: one league per matchmaker, all with the same seed.

    The objective is the learner's win rate against its hardest snapshot, averaged over the later half of the first
    league.
    """

    path: ClassVar[str] = "task"
    matchmakers: dict[str, Matchmaker] = key("Name -> matchmaker; one league for each.")
    matches: int = key("Matches of each learner; with run=DIR as many as in the run.", at_least=1)
    matches_per_iteration: int = key("Matches between two assignments.", at_least=1)
    agent_steps_per_match: float = key("Agent steps per match; with run=DIR as in the run.", above=0)
    window_matches: int = key("Matches over which coverage is measured.", at_least=1)
    elo_per_doubling: float = key("Elo gained per doubling of a learner's agent steps.", at_least=0)
    doubling_agent_steps: float = key("Agent steps until the first doubling.", above=0)
    cycle_elo: float = key("Elo between two players on the rim of the disc, a quarter turn apart.", at_least=0)
    sharpness: float = key("Specialization of a learner in its opponents; above 2, pure self-play cycles.", at_least=0)
    memory_matches: float = key("Time constant of a learner's memory in matches.", above=0)
    intruder_at: float | None = key(
        "Share of the matches after which the intruder joins; null = never.", at_least=0, at_most=1
    )
    trick_elo: float = key("Elo that the intruder's trick costs a player without knowledge of it.", at_least=0)
    trick_matches: float = key("Matches against the intruder to learn its trick.", above=0)
    trick_memory_matches: float = key("Matches against others to forget the trick.", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.matchmakers:
            raise ConfigError("task.matchmakers has no entry: give at least one")
        if self.matches_per_iteration > self.window_matches:
            raise ConfigError(
                f"task.window_matches={self.window_matches} is less than an iteration: give at least "
                f"task.matches_per_iteration={self.matches_per_iteration}"
            )

    def __call__(self, config: Config) -> float:
        recorded, agent_steps = _recorded(config) if config.run else (None, 0.0)
        results = {}
        for name, matchmaker in self.matchmakers.items():
            # Each league starts its generator from the same seed.
            results[name] = self._simulation(config, matchmaker, recorded, agent_steps).run()
        rows = {name: summary(history) for name, history in results.items()}
        directory = Path(config.output_dir)
        _write(directory, rows, results)  # before printing, which a pipe to `head` may interrupt
        _print_table(rows)
        print(f"simulation: {directory}  (simulate.json, simulate.csv, simulate.png)", flush=True)
        return float(next(iter(rows.values()))["hardest_win_rate"])

    def _simulation(
        self, config: Config, matchmaker: Matchmaker, recorded: Recorded | None, agent_steps: float
    ) -> Simulation:
        """Make the simulation of one matchmaker. `agent_steps`: per match of the recorded run, 0 without one."""
        learners = [replace(learner, side=None) for learner in roster(config)]  # synthetic players play every side
        if INTRUDER.lineage in config.league.learners:
            raise ConfigError(
                f"league.learners.{INTRUDER.lineage}: the name is reserved for the intruder: give another"
            )
        contestants = league(config, [*learners, INTRUDER] if self.intruder_at is not None else learners, matchmaker)
        matches, self_play, learning = self.matches, 2.0, self._disc()
        # A recorded match trains on the agent steps of the run, self-play included.
        if recorded is not None:
            contestants.schedule, learning = RecordedSchedule(recorded.agent_steps), recorded
            # One match more than the last snapshot needs, so that it is frozen too.
            matches, self_play = int(recorded.agent_steps[-1] / agent_steps) + 1, 1.0
        joins = None if self.intruder_at is None else round(self.intruder_at * matches)
        # A short run may have fewer matches than an iteration or a window.
        per_iteration, window = min(self.matches_per_iteration, matches), min(self.window_matches, matches)
        pace = Pace(matches, per_iteration, agent_steps or self.agent_steps_per_match, self_play, window, joins)
        trick = Trick(self.trick_elo, self.trick_matches, self.trick_memory_matches)
        rng = np.random.default_rng(config.seed)
        return Simulation(contestants, learners[0].lineage, learning, pace, trick, config.runtime.opponent_slots, rng)

    def _disc(self) -> Learning:
        return Disc(
            self.elo_per_doubling, self.doubling_agent_steps, self.cycle_elo, self.sharpness, self.memory_matches
        )


def _recorded(config: Config) -> tuple[Recorded, float]:
    """Return the players of a recorded run, and its agent steps per match."""
    directory = Path(str(config.run)).expanduser()
    if not directory.is_dir():
        raise ConfigError(f"run={config.run}: there is no such directory: give the directory of a run")
    state = latest_state(directory / "checkpoints")
    if state is None:
        raise ConfigError(f"run={config.run}: the run has no whole checkpoint: give another run")
    try:
        learner, counters = state.learners[0].lineage, state.counters
        return Recorded.from_league_state(state.league, learner), counters.trained_agent_steps / counters.matches
    except Exception as error:  # any fault in the files of a run has the same fix: another run
        raise ConfigError(f"run={config.run}: cannot simulate this run: {error or type(error).__name__}") from error


def summary(history: SimulationHistory) -> dict[str, Any]:
    """Return the measures of one league, by name; None if undefined. Measures of windows: mean over the later half."""
    # The first half is warm-up: the pool is still small.
    later = history.windows[len(history.windows) // 2 :]
    # Coverage is None if no snapshot was in the pool during the whole window.
    covered = [window.coverage for window in later if window.coverage is not None]
    return {
        "hardest_win_rate": float(np.mean([window.hardest_win_rate for window in later])),
        "pool_win_rate": float(np.mean([window.pool_win_rate for window in later])),
        "coverage": float(np.mean(covered)) if covered else None,
        "effective_opponents": float(np.mean([window.effective_opponents for window in later])),
        "intruder_joined": history.hunt.joined,
        "intruder_found_after": history.hunt.found_after,
        "intruder_beaten_after": history.hunt.beaten_after,
        "forgetting_time": history.forgetting.mean_time(history.matches),
        "beaten": history.forgetting.beaten,
        "forgotten": history.forgetting.forgotten,
        "snapshots": history.snapshots,
        "assign_us": 1e6 * history.assign_s / history.assignments,
        "matches_per_s": history.all_matches / history.seconds,
    }


SHOWN = {
    "hardest_win_rate": ("win rate, hardest snapshot", ".3f"),
    "pool_win_rate": ("win rate, mean of the pool", ".3f"),
    "coverage": ("share of the pool met", ".3f"),
    "effective_opponents": ("effective opponents", ".1f"),
    "intruder_found_after": ("intruder met after, matches", ",.0f"),
    "intruder_beaten_after": ("intruder beaten after, matches", ",.0f"),
    "forgetting_time": ("forgetting time, matches", ",.0f"),
    "beaten": ("times a snapshot was beaten", ",.0f"),
    "forgotten": ("times a snapshot was forgotten", ",.0f"),
    "snapshots": ("snapshots at the end", ",.0f"),
    "assign_us": ("time per assignment, µs", ",.0f"),
    "matches_per_s": ("matches per second", ",.0f"),
}
"""Measure -> (label in the table, number format)."""


def _print_table(rows: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table("", *rows, title="Simulated leagues, one per column")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, (label, form) in SHOWN.items():
        table.add_row(label, *(_cell(row, name, form) for row in rows.values()))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=40 + 16 * len(rows))
    console.print(table)


def _cell(row: Mapping[str, Any], name: str, form: str) -> str:
    """Return a measure as text: "never" for what did not happen, "-" for what could not, as without an intruder."""
    if row[name] is not None:
        return format(row[name], form)
    # Whether a measure could have had a value: the intruder joined, or some snapshot was beaten.
    could_happen = {
        "intruder_found_after": row["intruder_joined"] is not None,
        "intruder_beaten_after": row["intruder_joined"] is not None,
        "forgetting_time": row["beaten"] > 0,
    }
    return "never" if could_happen.get(name, False) else "-"


def _write(directory: Path, rows: Mapping[str, Any], results: Mapping[str, SimulationHistory]) -> None:
    """Write the measures as JSON, the windows as CSV, and the win rates against the hardest snapshot as a picture."""
    with replacing(directory / "simulate.json") as file:
        file.write_text(to_json(rows, indent=2) + "\n", encoding="utf-8")
    with replacing(directory / "simulate.csv") as file, file.open("w", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, ["matchmaker", *(item.name for item in fields(Window))])
        writer.writeheader()
        for name, history in results.items():
            writer.writerows({"matchmaker": name, **asdict(window)} for window in history.windows)
    curves = {
        name: ([window.matches for window in history.windows], [window.hardest_win_rate for window in history.windows])
        for name, history in results.items()
    }
    title = "True win rate against the hardest snapshot"
    write_png(directory / "simulate.png", curves_figure(title, "matches of the learner", "win rate", curves))
