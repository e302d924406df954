"""Contrast: what schemes of self-play make of equal compute, above all against their own past.

python -m marl_app task=contrast run=runs/sweeps/<time>

Of each run of a sweep the newest of the first learner plays its own snapshots over time, and anchors; and all of these,
and snapshots of the other learners, play one another. Runs that differ in nothing but their seed are one scheme. Trains
nothing and starts no Ray; the same seed gives the same matches.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from omegaconf import OmegaConf

from marl_app.assembly.instantiate import env_factory, named
from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config, Section, key
from marl_app.evaluation import exploiter
from marl_app.evaluation.contestants import ANCHOR, Contestant, contestants
from marl_app.evaluation.cross_play import Matches, seatings
from marl_app.evaluation.past_selves import scores_against_past
from marl_app.evaluation.ranking import ladder_cyclic_share
from marl_app.evaluation.results import CrossPlayResults
from marl_app.league import cycles
from marl_app.league.payoff import Floats
from marl_app.league.ratings import bradley_terry
from marl_app.runs.members import Members
from marl_app.tasks.contrast_report import ContrastReport, Measured
from marl_app.tasks.evaluate import able, environment, results_of
from marl_app.tasks.seeds import grouped, runs_below


@dataclass
class Contrast(Section):
    """The task. Its objective is the best scheme's score against its hardest past self."""

    path: ClassVar[str] = "task"
    snapshots: int = key("Snapshots of the first learner that are its past.", at_least=1)
    others: int = key("Snapshots of each other learner.", at_least=0)
    anchors: list[str] = key("Fixed opponents that play too, where they can.", pattern="random|mcts_[1-9][0-9]*")
    games: int = key("Matches of the newest main against each past self and each anchor.", at_least=1)
    pool_games: int = key("Matches of every other pair.", at_least=1)
    batch: int = key("Matches that a pair plays at once.", at_least=1)
    exploit_env_steps: int | None = key(
        "Env steps that an exploiter of each newest main trains for, where exploitability is not exact; null = none.",
        at_least=1,
    )
    confidence: float = key("Of the bootstrap intervals over seeds.", above=0, at_most=0.999)

    def __call__(self, config: Config) -> float:
        """Play within every run below `run`, print the table, write everything to the run directory."""
        if config.run is None:
            raise ConfigError("run=null: give the directory of a sweep, such as run=runs/sweeps/<time>")
        runs = recorded_runs(Path(config.run).expanduser())
        found: dict[Path, Measured] = {}
        for number, (run, members) in enumerate(runs.items(), 1):
            print(f"contrast: {run.name}, {number} of {len(runs)}", flush=True)
            found[run] = self._measure(members, config.seed, quiet=number > 1)
            if self.exploit_env_steps is not None and np.isnan(found[run].values["exploitability"]):
                folder = Path(config.output_dir) / "exploiters" / run.name
                found[run].values["exploiter"] = _exploited(run, folder, self.exploit_env_steps)
        if not found:
            raise ConfigError(f"run={config.run}: no run below it has a whole checkpoint")
        schemes = {name.removeprefix("+experiment="): measured for name, measured in grouped(found).items()}
        report = ContrastReport(schemes, self.confidence, np.random.default_rng(config.seed))
        directory = Path(config.output_dir)
        report.write(directory, {"run": config.run, "seed": config.seed, "confidence": self.confidence})
        report.print(directory)
        return max(scheme["hardest"][0] for scheme in report.schemes.values())

    def _measure(self, members: Members, seed: int, *, quiet: bool) -> Measured:
        """All that is known of one run."""
        recorded = OmegaConf.load(members.run / ".hydra" / "config.yaml")
        make_env = env_factory(named("run", lambda: environment(recorded)))
        first = members.learners[0]
        names = [first, *members.matching(f"{first}@*", self.snapshots)]
        for other in members.learners[1:] if self.others else ():
            names += members.matching(f"{other}@*", self.others)
        with closing(make_env(1)) as env:
            sides = len(env.sides)
            if sides < 2:
                raise ConfigError(f"run={members.run}: with one side there is nobody to play against")
            anchors = able(env, self.anchors, quiet=quiet)
            players = named("run", lambda: contestants(env, members, names, self.snapshots, anchors))
        results = results_of(players, first)
        batch = self.batch + -self.batch % seatings(sides)
        with closing(Matches(make_env, [one.player for one in players], batch, seed, greedy=False)) as play:
            halves = self._play(results, play, results.players.index(first), batch)
        return _measured(members, players, results, halves, np.random.default_rng(seed))

    def _play(self, results: CrossPlayResults, play: Matches, newest: int, batch: int) -> Floats:
        """Play every pair; the newest one's mean scores against everybody in two halves of their matches, [2, n]."""
        points = np.zeros((2, len(results.players)))
        for first, second in itertools.combinations(range(len(results.players)), 2):
            games = self.games if newest in (first, second) else self.pool_games
            before = results.points[newest].copy()
            for number in range(2 * -(-games // (2 * batch))):
                results.add_batch(first, second, play(first, second, number))
                points[number % 2] += results.points[newest] - before
                before = results.points[newest].copy()
        halves: Floats = 2 * points / np.maximum(results.games[newest], 1)
        return halves


def recorded_runs(directory: Path) -> dict[Path, Members]:
    """The runs below a directory, in the order of their numbers; of those without a checkpoint it is printed."""
    found = {}
    for run in runs_below(directory):
        if not (run / "checkpoints").is_dir():  # not a training run, such as what a study wrote
            continue
        try:
            found[run] = Members(run)
        except FileNotFoundError as error:
            print(f"without {run}: {error}", flush=True)
    return found


def _measured(
    members: Members, players: Sequence[Contestant], results: CrossPlayResults, halves: Floats, rng: np.random.Generator
) -> Measured:
    first = members.learners[0]
    past = [place for place, one in enumerate(players) if one.lineage == first and one.name != first]
    newest = results.players.index(first)
    rates = results.win_rates
    elo = bradley_terry(results.points)
    pool = np.ix_(results.mixed, results.mixed)  # anchors are no part of the league's cycles
    games = results.games[pool]
    parts = cycles.decompose_flow(cycles.log_odds(rates[pool], games), games)
    values = {
        **scores_against_past(halves[:, past]),
        "cyclic share": parts.cyclic_share,
        "by chance": ladder_cyclic_share(elo[results.mixed], games, rng),
        **_exploitability(members.run),
        **{one.name: rates[newest, place] for place, one in enumerate(players) if one.kind == ANCHOR},
        "Elo": elo[newest] - elo[results.zero],
        "snapshots": sum("@" in name for name in members.steps),
    }
    steps = members.steps
    return Measured(
        run=str(members.run),
        values={name: float(value) for name, value in values.items()},
        players=results.players,
        zero=results.players[results.zero],
        rates=rates,
        games=results.games,
        ages=np.array([steps[results.players[place]] / max(steps[first], 1) for place in past]),
        past=rates[newest, past],
    )


def _exploited(run: Path, directory: Path, env_steps: int) -> float:
    """What an exploiter scores beyond 0.5 against the newest main; NaN, with a line, if it failed."""
    exploiter.start_exploiter(run, directory, f"stop.env_steps={env_steps}").wait()
    known = exploiter.read_findings(directory)
    if known is None:
        print(f"no exploiter of {run}: see {directory / exploiter.LOG}", flush=True)
    return np.nan if known is None else float(known["bound"]["estimate"])


def _exploitability(run: Path) -> dict[str, float]:
    """Exact exploitability of the agent and of the pool as its meta-strategy, from its summary; NaN if not known."""
    summary = run / "summary.json"
    known = json.loads(summary.read_text(encoding="utf-8")).get("exploitability", {}) if summary.is_file() else {}
    names = {"agent": "exploitability", "meta_strategy": "of the pool"}
    return {shown: np.nan if known.get(name) is None else known[name] for name, shown in names.items()}
