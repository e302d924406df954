"""Evaluate: cross-play between the players of a run, guests, bots and anchors.

python -m marl_app task=evaluate run=runs/league/<time>
python -m marl_app task=evaluate run=DIR 'task.players=[main,main@*,OTHER_RUN:main,my_package.my_bot.Bot]'
python -m marl_app task=evaluate run=DIR 'task.why=[main@0003,main@0007]'

Trains nothing and starts no Ray. The same seed gives the same matches. What has been played when it is interrupted is
written like what is complete.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from rich.console import Console
from rich.progress import track

from marl_app.assembly.instantiate import env_factory, league, named
from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config, Section, key
from marl_app.envs.batched import BatchedEnv, MakeEnv
from marl_app.evaluation.contestants import ANCHOR, RUN, Contestant, contestants
from marl_app.evaluation.cross_play import Matches, cross_play, seatings
from marl_app.evaluation.ranking import rank_players
from marl_app.evaluation.results import CrossPlayResults
from marl_app.evaluation.why import explain_pair
from marl_app.league.matchmakers.matchmaker import Branch
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.players import Learner
from marl_app.players.anchors import unplayable_reason
from marl_app.runs.members import Members
from marl_app.tasks.evaluate_report import Report

FINISHED, INTERRUPTED, FAILED = "finished", "interrupted", "failed"
ZERO = "random"


@dataclass
class Evaluate(Section):
    """The task. Its objective is the Elo of the run's newest agent; of the best player if that does not take part."""

    path: ClassVar[str] = "task"
    players: list[str] = key("Who plays: names, patterns, guests and bots.")
    snapshots: int = key("Snapshots that a pattern picks of a lineage.", at_least=1)
    anchors: list[str] = key("Fixed opponents that play too, where they can.", pattern="random|mcts_[1-9][0-9]*")
    games: int = key("Matches a pair, on average.", at_least=1)
    batch: int = key("Matches that a pair plays at once.", at_least=1)
    greedy: bool = key("Whether agents take their likeliest action instead of a sampled one.")
    alpha_rank: MetaStrategy = key("The settings of alpha-rank.")
    why: list[str] | None = key("Two players of the run of which it is told why they met in training, or never did.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("players", "anchors"):
            if not isinstance(getattr(self, name), list):
                raise ConfigError(f"task.{name}={getattr(self, name)} is not a list: give task.{name}=[...]")
        if self.why is not None and (not isinstance(self.why, list) or len(self.why) != 2):
            raise ConfigError(f"task.why={self.why}: give two players, such as task.why=[main@0003,main]")

    def __call__(self, config: Config) -> float:
        """Play, print the table, write everything to the run directory; or answer `why`."""
        if config.run is None:
            raise ConfigError("run=null: give the directory of a run, such as run=runs/league/<time>")
        run = Path(config.run).expanduser()
        members = named("run", lambda: Members(run))
        recorded = named("run", lambda: OmegaConf.load(run / ".hydra" / "config.yaml"))
        if self.why is not None:
            return self._answer(self.why, members, recorded)
        make_env = env_factory(named("run", lambda: environment(recorded)))
        players = self._players(make_env, members)
        results = results_of(players, members.learners[0])
        try:
            with _interruptible():
                self._play(make_env, players, results, config.seed)
        except BaseException as error:  # what was played is not lost
            if results.played:
                status = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
                self._report(config, players, results, status)
            raise
        elo = self._report(config, players, results, FINISHED)
        return elo.get(members.learners[0], max(elo.values()))

    def _report(
        self, config: Config, players: Sequence[Contestant], results: CrossPlayResults, status: str
    ) -> dict[str, float]:
        """Write and print what the matches say; the players' Elo."""
        ranking = rank_players(results, self.alpha_rank, config.seed)
        report = Report(players, results, ranking, status)
        directory = Path(config.output_dir)
        report.write(directory, {"run": config.run, "seed": config.seed, "greedy": self.greedy})
        report.print(directory)
        return dict(zip(results.players, ranking.elo.tolist(), strict=True))

    def _players(self, make_env: MakeEnv, members: Members) -> list[Contestant]:
        with closing(named("run", lambda: make_env(1))) as env:
            if len(env.sides) < 2:
                raise ConfigError(
                    f"run={members.run}: its environment has one side, so there is nobody to play against"
                )
            anchors = able(env, self.anchors)
            found = named("task.players", lambda: contestants(env, members, self.players, self.snapshots, anchors))
        if len(found) < 2:
            names = ", ".join(one.name for one in found) or "nobody"
            raise ConfigError(f"task.players={self.players}: only {names} would play; there are {members.describe()}")
        return found

    def _play(self, make_env: MakeEnv, players: Sequence[Contestant], results: CrossPlayResults, seed: int) -> None:
        """As many matches a pair as asked for, on average, and at least a batch, in which everybody sits everywhere."""
        with closing(make_env(1)) as env:
            batch = self.batch + -self.batch % seatings(len(env.sides))
        pairs = int(np.triu(results.can_meet, 1).sum())
        games = pairs * max(self.games, batch)
        print(f"cross-play: {pairs} pairs of {len(players)} players, {games:,} matches, {batch} a batch", flush=True)
        agents, sides = [one.player for one in players], [one.side for one in players]
        with closing(Matches(make_env, agents, batch, seed, greedy=self.greedy, sides=sides)) as play:
            batches, total = cross_play(results, play, batch, games), -(-games // batch)
            quiet = not Console().is_terminal
            for _ in track(batches, "cross-play", total=total, transient=True, disable=quiet):
                pass

    def _answer(self, names: Sequence[str], members: Members, recorded: Any) -> float:
        """Print why two players met in training, or never did."""
        records = named("run", lambda: pd.read_parquet(members.run / "matches"))
        progress = members.run / "progress.jsonl"
        trained = None
        if progress.is_file():
            lines = pd.read_json(progress, lines=True)
            if "steps/trained_agent_steps" in lines:
                trained = lines.set_index("iteration")["steps/trained_agent_steps"]
        first, second = names
        state = members.state["league"]
        branches = named("run", lambda: _branches(recorded, state))
        for line in named("task.why", lambda: explain_pair(first, second, state, records, trained, branches)):
            print(line, flush=True)
        return 0.0


def able(env: BatchedEnv, anchors: Sequence[str], *, quiet: bool = False) -> list[str]:
    """Those of task.anchors that can play the environment; of the others it is printed (unless `quiet`) why not."""
    unfit = named("task.anchors", lambda: {anchor: unplayable_reason(env, anchor) for anchor in anchors})
    for anchor, reason in unfit.items():
        if reason and not quiet:
            print(f"without {anchor}: {reason}", flush=True)
    return [anchor for anchor, reason in unfit.items() if not reason]


def results_of(players: Sequence[Contestant], learner: str) -> CrossPlayResults:
    """No matches yet. Zero is random; without it the oldest player of the run's learner, or the first of all."""
    names = [one.name for one in players]
    oldest = [place for place, one in enumerate(players) if one.kind == RUN and one.lineage == learner] or [0]
    mixed = [place for place, one in enumerate(players) if one.kind != ANCHOR]
    zero = names.index(ZERO) if ZERO in names else oldest[0]
    return CrossPlayResults(names, zero, mixed, [one.side for one in players])


def environment(recorded: Any) -> dict[str, Any]:
    """The leaf of the environment of a run's recorded configuration."""
    env: Any = OmegaConf.to_container(recorded.env, resolve=True)
    return env


def _branches(recorded: Any, state: Any) -> dict[str, Sequence[Branch]]:
    """What the run's matchmaker would do now, by learner."""
    made = league(recorded, [Learner(**fields) for fields in state["learners"]])
    made.load_state_dict(state)
    return {learner: made.matchmaker.branches(made.view, learner) for learner in made.learners}


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: with KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
