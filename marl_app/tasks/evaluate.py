"""Evaluate: cross-play between the players of a run, guests, bots and anchors.

python -m marl_app task=evaluate run=runs/league/<time>
python -m marl_app task=evaluate run=DIR 'task.players=[main,main@*,OTHER_RUN:main,my_package.my_bot.Bot]'
python -m marl_app task=evaluate run=DIR 'task.why=[main@0003,main@0007]'

In an environment with one side teams are evaluated: by their returns, and with teammates of other players.

Trains nothing and does not start Ray. The same seed gives the same matches. If it is interrupted, the matches played so
far are reported (of teams: nothing).
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
from rich.console import Console
from rich.progress import track

from marl_app.assembly.instantiate import config_errors, env_factory, league
from marl_app.config.errors import ConfigError
from marl_app.config.record import read_record
from marl_app.config.schema import Config
from marl_app.config.section import Section, key
from marl_app.envs.batched import BatchedEnv, MakeEnv
from marl_app.evaluation.contestants import ANCHOR, RUN, Contestant, contestants
from marl_app.evaluation.cross_play import Matches, cross_play, seatings
from marl_app.evaluation.ranking import rank_players
from marl_app.evaluation.results import CrossPlayResults
from marl_app.evaluation.solved import value_preserving_moves
from marl_app.evaluation.why import explain_pair
from marl_app.league.matchmakers.matchmaker import Branch
from marl_app.league.meta.meta import MetaStrategy
from marl_app.players.anchors import unplayable_reason
from marl_app.runs.members import Members
from marl_app.runs.state import RunState
from marl_app.tasks.evaluate_report import CrossPlayReport
from marl_app.tasks.evaluate_teams import evaluate_teams, report_teams
from marl_app.tasks.opened_run import environment, open_run

FINISHED, INTERRUPTED, FAILED = "finished", "interrupted", "failed"
RANDOM = "random"  # the anchor whose Elo is 0, if it takes part


@dataclass
class Evaluate(Section):
    """The task. Its objective is the Elo of the run's newest agent, or of the best player if that one does not play.

    Of a team without opponents it is the return per agent.
    """

    path: ClassVar[str] = "task"
    players: list[str] = key("Players: names, patterns, guests and bots.")
    snapshots: int = key("Snapshots that a pattern selects per lineage.", at_least=1)
    anchors: list[str] = key(
        "Fixed opponents that also play, where the environment allows it.", pattern="random|mcts_[1-9][0-9]*"
    )
    games: int = key("Matches per pair, on average.", at_least=1)
    batch: int = key("Matches that a pair plays together.", at_least=1)
    greedy: bool = key("Whether agents take their most probable action instead of a sampled one.")
    alpha_rank: MetaStrategy = key("Settings of alpha-rank.")
    why: list[str] | None = key("Two players of the run: report why they met in training, or why they never did.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.why is not None and (not isinstance(self.why, list) or len(self.why) != 2):
            raise ConfigError(f"task.why={self.why}: give two players, such as task.why=[main@0003,main]")

    def __call__(self, config: Config) -> float:
        """Play, print the table, and write all files to the run directory; or answer `why`. Returns the objective."""
        members = open_run(config)
        # `why` is answered from the records of training: no match is played.
        if self.why is not None:
            return self._answer(self.why, members, read_record(members.run, ["league"], config.trust))
        make_env = env_factory(environment(members))
        players, is_team = self._players(make_env, members)
        if is_team:
            return self._evaluate_teams(make_env, players, members.learners[0], config)
        results = results_of(players, members.learners[0])
        # The share is measured after all matches, so the report of an interrupted evaluation has none.
        solved: list[float | None] = [None] * len(players)
        try:
            with _interruptible():
                self._play(make_env, players, results, config.seed)
                solved = solved_shares(make_env, players, config.seed)
        except BaseException as error:  # report the matches that were played
            if results.played:
                status = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
                self._report(config, players, results, status, solved)
            raise
        elo = self._report(config, players, results, FINISHED, solved)
        return elo.get(members.learners[0], max(elo.values()))

    def _report(
        self,
        config: Config,
        players: Sequence[Contestant],
        results: CrossPlayResults,
        status: str,
        solved: Sequence[float | None],
    ) -> dict[str, float]:
        """Write and print the report of the matches; return the Elo of each player."""
        ranking = rank_players(results, self.alpha_rank, config.seed)
        report = CrossPlayReport(players, results, ranking, status, solved)
        directory = Path(config.output_dir)
        report.write(directory, {"run": config.run, "seed": config.seed, "greedy": self.greedy})
        report.print(directory)
        return dict(zip(results.players, ranking.elo.tolist(), strict=True))

    def _evaluate_teams(self, make_env: MakeEnv, players: Sequence[Contestant], learner: str, config: Config) -> float:
        """Play all pairs of players as teammates; print and write their returns. Return that of the newest agent."""
        with _interruptible():
            results = evaluate_teams(make_env, players, self.games, config.seed, greedy=self.greedy)
        facts = {"run": config.run, "seed": config.seed, "greedy": self.greedy}
        report_teams(Path(config.output_dir), players, results, facts)
        newest = next((index for index, player in enumerate(players) if player.name == learner), 0)
        # The player among copies of itself.
        return results[newest, newest].agent_return

    def _players(self, make_env: MakeEnv, members: Members) -> tuple[list[Contestant], bool]:
        """Return the players of the evaluation, and whether they are teams without opponents.

        Raises ConfigError for fewer than two, unless they are teams.
        """
        with config_errors("run"):
            env = make_env(1)
        with closing(env):
            is_team = len(env.sides) == 1
            anchors = applicable_anchors(env, self.anchors, quiet=is_team)
            with config_errors("task.players"):
                found = contestants(env, members, self.players, self.snapshots, anchors)
        if len(found) < 2 and not is_team:
            names = ", ".join(player.name for player in found) or "none"
            raise ConfigError(
                f"task.players={self.players} selects only {names}: give at least two of {members.describe()}"
            )
        return found, is_team

    def _play(self, make_env: MakeEnv, players: Sequence[Contestant], results: CrossPlayResults, seed: int) -> None:
        """Play `games` matches per pair on average, and at least one batch, in which each player plays every side."""
        with closing(make_env(1)) as env:
            # Rounded up to a multiple of the seatings.
            batch = self.batch + -self.batch % seatings(len(env.sides))
        # Pairs that can meet, each counted once: the upper triangle of a symmetric matrix.
        pairs = int(np.triu(results.can_meet, 1).sum())
        games = pairs * max(self.games, batch)
        print(f"cross-play: {pairs} pairs of {len(players)} players, {games:,} matches, {batch} a batch", flush=True)
        agents, sides = [contestant.player for contestant in players], [contestant.side for contestant in players]
        with closing(Matches(make_env, agents, batch, seed, greedy=self.greedy, sides=sides)) as play:
            # A generator: each step of the loop below plays one batch.
            batches, total = cross_play(results, play, batch, games), -(-games // batch)
            quiet = not Console().is_terminal
            for _ in track(batches, "cross-play", total=total, transient=True, disable=quiet):
                pass

    def _answer(self, names: Sequence[str], members: Members, recorded: Any) -> float:
        """Print why two players met in training, or never did. `recorded`: the configuration of the run."""
        with config_errors("run"):
            # The records of all iterations: a folder of Parquet files.
            records = pd.read_parquet(members.run / "matches")
        progress = members.run / "progress.jsonl"
        trained = None  # agent steps by iteration, if known
        if progress.is_file():
            lines = pd.read_json(progress, lines=True)
            if "steps/trained_agent_steps" in lines:
                trained = lines.set_index("iteration")["steps/trained_agent_steps"]
        first, second = names
        with config_errors("run"):
            branches = _branches(recorded, members.state)
        with config_errors("task.why"):
            sentences = explain_pair(first, second, members.state.league, records, trained, branches)
        for sentence in sentences:
            print(sentence, flush=True)
        return 0.0


def applicable_anchors(env: BatchedEnv, anchors: Sequence[str], *, quiet: bool = False) -> list[str]:
    """Return the anchors that can play the environment; print why the others cannot, unless `quiet`."""
    with config_errors("task.anchors"):
        reasons = {anchor: unplayable_reason(env, anchor) for anchor in anchors}
    for anchor, reason in reasons.items():
        if reason and not quiet:
            print(f"without {anchor}: {reason}", flush=True)
    return [anchor for anchor, reason in reasons.items() if not reason]


def solved_shares(make_env: MakeEnv, players: Sequence[Contestant], seed: int) -> list[float | None]:
    """Return each player's share of value-preserving moves; None without solved positions, or if it plays one side."""
    with closing(make_env(1)) as env:
        offered = env.solved_positions() is not None
    return [
        value_preserving_moves(make_env, [contestant.player], np.random.default_rng(seed)).share
        if offered and contestant.side is None
        else None
        for contestant in players
    ]


def results_of(players: Sequence[Contestant], learner: str) -> CrossPlayResults:
    """Return results without matches, whose Elo is measured from random.

    Without random it is measured from the oldest player of the run's learner, or else from the first player.
    """
    names = [player.name for player in players]
    # Players of the run are ordered by age.
    oldest = [index for index, player in enumerate(players) if player.kind == RUN and player.lineage == learner] or [0]
    mixed = [index for index, player in enumerate(players) if player.kind != ANCHOR]
    zero = names.index(RANDOM) if RANDOM in names else oldest[0]
    return CrossPlayResults(names, zero, mixed, [player.side for player in players])


def _branches(recorded: Any, state: RunState) -> dict[str, Sequence[Branch]]:
    """Return the current branches of the run's matchmaker, by learner."""
    # A league in the state of the checkpoint: the branches depend on its pool and payoff.
    restored = league(recorded, state.learners)
    restored.load_state_dict(state.league)
    return {learner: restored.matchmaker.branches(restored.view, learner) for learner in restored.learners}


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM, as on Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread can set signal handlers
        yield
        return
    # `default_int_handler` raises KeyboardInterrupt. The previous handler is restored in the end.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
