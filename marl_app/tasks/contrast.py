"""Contrast: compare schemes of self-play at equal compute, mainly by how each agent scores against its own past.

python -m marl_app task=contrast run=runs/sweeps/<time>

In each run of a sweep the newest player of the first learner plays that learner's snapshots and the anchors; all of
these, and snapshots of the other learners, also play one another. Runs that differ only in their seed are one scheme.
Runs with a pool per side are refused. Trains nothing and does not start Ray; the same seed gives the same matches.
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

from marl_app.assembly.instantiate import config_errors, env_factory
from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config
from marl_app.config.section import Section, key
from marl_app.evaluation import exploiter
from marl_app.evaluation.best_response import steps_to_score
from marl_app.evaluation.contestants import ANCHOR, Contestant, contestants
from marl_app.evaluation.cross_play import Matches, seatings
from marl_app.evaluation.past_selves import scores_against_past
from marl_app.evaluation.ranking import ladder_cyclic_share
from marl_app.evaluation.results import CrossPlayResults
from marl_app.league import cycles
from marl_app.league.payoff import Float64s
from marl_app.league.ratings import bradley_terry
from marl_app.runs.members import Members
from marl_app.tasks.contrast_report import ContrastReport, MeasuredRun
from marl_app.tasks.evaluate import applicable_anchors, results_of
from marl_app.tasks.opened_run import environment
from marl_app.tasks.seeds import group_by_overrides, runs_below

EXPLOITED = 0.75  # the score of an exploiter at which an agent counts as exploited


@dataclass
class Contrast(Section):
    """The task. Its objective is the best scheme's score against its hardest past snapshot."""

    path: ClassVar[str] = "task"
    snapshots: int = key("Snapshots of the first learner, evenly spaced over time: its past.", at_least=1)
    others: int = key("Snapshots of each other learner.", at_least=0)
    anchors: list[str] = key(
        "Fixed opponents that also play, where the environment allows it.", pattern="random|mcts_[1-9][0-9]*"
    )
    games: int = key("Matches of the newest main against each past snapshot and each anchor.", at_least=1)
    pool_games: int = key("Matches of every other pair.", at_least=1)
    batch: int = key("Matches that a pair plays together.", at_least=1)
    exploit_env_steps: int | None = key(
        "Env steps of training of an exploiter of each newest main, where exploitability is not exact; null = none.",
        at_least=1,
    )
    exploit_points: int = key(
        "Points of the curve of its score, evenly spaced, from which the env steps to a score of 0.75 are read.",
        at_least=1,
    )
    confidence: float = key("Confidence level of the bootstrap intervals over seeds.", above=0, at_most=0.999)

    def __call__(self, config: Config) -> float:
        """Play the matches of every run below `run`, print the table, and write all files to the run directory."""
        assert config.run is not None  # checked by the schema
        runs = recorded_runs(Path(config.run).expanduser(), config.trust)
        for members in runs.values():
            _check_sides(members)
        measured: dict[Path, MeasuredRun] = {}
        # 1. Play the matches of each run, and train its exploiter if exploitability is not known exactly.
        for number, (run, members) in enumerate(runs.items(), 1):
            print(f"contrast: {run.name}, {number} of {len(runs)}", flush=True)
            measured[run] = self._measure(members, config.seed, quiet=number > 1)
            if self.exploit_env_steps is not None and np.isnan(measured[run].values["exploitability"]):
                folder = Path(config.output_dir) / "exploiters" / run.name
                measured[run].values.update(_exploited(run, folder, self.exploit_env_steps, self.exploit_points))
        if not measured:
            raise ConfigError(f"run={config.run}: no run below it has a whole checkpoint")
        # 2. Group the runs that differ only in their seed, and write the report.
        schemes = {
            name.removeprefix("+experiment="): scheme_runs for name, scheme_runs in group_by_overrides(measured).items()
        }
        report = ContrastReport(schemes, self.confidence, np.random.default_rng(config.seed))
        directory = Path(config.output_dir)
        report.write(directory, {"run": config.run, "seed": config.seed, "confidence": self.confidence})
        report.print(directory)
        # A scheme's value is (interquartile mean, low, high).
        return max(scheme["hardest"][0] for scheme in report.schemes.values())

    def _measure(self, members: Members, seed: int, *, quiet: bool) -> MeasuredRun:
        """Play the matches of one run and return its results. `quiet`: do not report anchors that cannot play."""
        env_leaf = environment(members)
        make_env = env_factory(env_leaf)
        first = members.learners[0]
        names = [first, *members.matching(f"{first}@*", self.snapshots)]
        for other in members.learners[1:] if self.others else ():
            names += members.matching(f"{other}@*", self.others)
        # This environment only gives facts and checks the players; `Matches` makes one of its own size.
        with closing(make_env(1)) as env:
            sides = len(env.sides)
            if sides < 2:
                raise ConfigError(
                    f"run={members.run}: its environment has one side, so it has no opponents: give another run"
                )
            anchors = applicable_anchors(env, self.anchors, quiet=quiet)
            with config_errors("run"):
                players = contestants(env, members, names, self.snapshots, anchors)
        results = results_of(players, first)
        batch = self.batch + -self.batch % seatings(sides)  # rounded up to a multiple of the seatings
        with closing(
            Matches(make_env, [contestant.player for contestant in players], batch, seed, greedy=False)
        ) as play:
            halves = self._play(results, play, results.players.index(first), batch)
        return _measured_run(members, players, results, halves, np.random.default_rng(seed))

    def _play(self, results: CrossPlayResults, play: Matches, newest: int, batch: int) -> Float64s:
        """Play every pair; return the newest player's mean scores in two halves of its matches, float64 [2, n]."""
        points = np.zeros((2, len(results.players)))
        for first, second in itertools.combinations(range(len(results.players)), 2):
            games = self.games if newest in (first, second) else self.pool_games
            # Points of the newest player before a batch; the difference after it is what the batch has added.
            before = results.points[newest].copy()
            # An even number of batches, rounded up, which go to the two halves in turn.
            for number in range(2 * -(-games // (2 * batch))):
                results.add_batch(first, second, play(first, second, number))
                points[number % 2] += results.points[newest] - before
                before = results.points[newest].copy()
        # Each half has half of the batches, so its mean score is points / (games / 2).
        halves: Float64s = 2 * points / np.maximum(results.games[newest], 1)
        return halves


def recorded_runs(directory: Path, trust: bool = False) -> dict[Path, Members]:
    """Return the runs below a directory, ordered by their numbers; report those without a whole checkpoint."""
    found = {}
    for run in runs_below(directory):
        if not (run / "checkpoints").is_dir():  # not a training run: such as the directory of a study
            continue
        try:
            found[run] = Members(run, trust)
        except FileNotFoundError as error:
            print(f"skipped {run}: {error}", flush=True)
    return found


def _check_sides(members: Members) -> None:
    """Raise ConfigError for a run with a pool per side, in which no player can meet its own past."""
    sided = next((learner for learner in members.state.learners if learner.side is not None), None)
    if sided is not None:
        raise ConfigError(
            f"run={members.run}: it has a pool per side (league.learners.{sided.lineage}.side={sided.side}), so its "
            f"agents cannot play their own past: give runs without sides, or rank its players with task=evaluate"
        )


def _measured_run(
    members: Members,
    players: Sequence[Contestant],
    results: CrossPlayResults,
    halves: Float64s,
    rng: np.random.Generator,
) -> MeasuredRun:
    """Return the results of one run. `halves`: see `Contrast._play`."""
    first = members.learners[0]
    past = [index for index, player in enumerate(players) if player.lineage == first and player.name != first]
    newest = results.players.index(first)
    rates = results.win_rates
    elo = bradley_terry(results.points)
    pool = np.ix_(results.mixed, results.mixed)  # without anchors: the cycles are those of the league
    games = results.games[pool]
    # The log-odds as differences of ratings plus a cyclic rest.
    parts = cycles.decompose_flow(cycles.log_odds(rates[pool], games), games)
    values = {
        **scores_against_past(halves[:, past]),
        "cyclic share": parts.cyclic_share,
        "by chance": ladder_cyclic_share(elo[results.mixed], games, rng),
        **_exploitability(members.run),
        **{player.name: rates[newest, index] for index, player in enumerate(players) if player.kind == ANCHOR},
        "Elo": elo[newest] - elo[results.zero],
        "snapshots": sum("@" in name for name in members.steps),
    }
    steps = members.steps
    return MeasuredRun(
        run=str(members.run),
        values={name: float(value) for name, value in values.items()},
        players=results.players,
        zero=results.players[results.zero],
        rates=rates,
        games=results.games,
        # [k] in [0, 1]: the training of each past snapshot, relative to the newest main's.
        ages=np.array([steps[results.players[index]] / max(steps[first], 1) for index in past]),
        past=rates[newest, past],
    )


def _exploited(run: Path, directory: Path, env_steps: int, points: int) -> dict[str, float]:
    """Train an exploiter of the newest main in a subprocess; return what it gained, and how soon.

    exploiter: its score minus 0.5. to 0.75: the env steps to a score of 0.75, in millions; NaN if it did not reach it.
    reached: whether it did, 0 or 1. All NaN if it failed.
    """
    exploiter.start_exploiter(run, directory, f"stop.env_steps={env_steps}", f"task.points={points}").wait()
    content = exploiter.read_findings(directory)
    if content is None:
        print(f"the exploiter of {run} failed: see {directory / exploiter.LOG}", flush=True)
        return dict.fromkeys(("exploiter", "to 0.75", "reached"), np.nan)
    # NaN if the score was never reached.
    steps = steps_to_score([(point["env_steps"], point["score"]) for point in content["curve"]], EXPLOITED)
    reached = float(not np.isnan(steps))
    return {"exploiter": float(content["bound"]["estimate"]), "to 0.75": steps / 1e6, "reached": reached}


def _exploitability(run: Path) -> dict[str, float]:
    """Return the exact exploitability of agent and meta-strategy from a run's summary; NaN where it is not recorded."""
    summary = run / "summary.json"
    exact = json.loads(summary.read_text(encoding="utf-8")).get("exploitability", {}) if summary.is_file() else {}
    columns = {"agent": "exploitability", "meta_strategy": "of the pool"}
    return {column: np.nan if exact.get(name) is None else exact[name] for name, column in columns.items()}
