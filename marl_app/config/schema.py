"""The configuration as a whole, and its small sections: type, meaning and bounds of every key.

The sections `league` and `runtime` are in league_section.py and runtime_section.py, `algorithm` in algorithms.py.

Values are in `conf/` only: a key without a value there is an error. Groups that the app reads are dataclasses; groups
that are passed to a constructor (env, model, matchmaker, ...) are `_target_` leaves, which that constructor checks.
`docs/config.md` is generated from these dataclasses and `conf/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from marl_app.config.algorithms import AlgorithmSettings
from marl_app.config.errors import ConfigError
from marl_app.config.league_section import LeagueConfig
from marl_app.config.runtime_section import RuntimeConfig
from marl_app.config.section import Section, key
from marl_app.config.targets import check_leaf

Leaf = dict[str, Any]
SHARING = ("spaces", "role", "none")


@dataclass
class StopConfig(Section):
    """Limits of the run: it ends at the first that is reached; without any, at Ctrl-C."""

    path: ClassVar[str] = "stop"
    env_steps: int | None = key("Env steps (steps of one match), counted over the whole run; null = no limit.", above=0)
    minutes: float | None = key("Minutes of training, counted over the whole run; null = no limit.", above=0)
    iterations: int | None = key("Updates of the learner, counted over the whole run; null = no limit.", above=0)


@dataclass
class PoliciesConfig(Section):
    """Assignment of networks to agents."""

    path: ClassVar[str] = "policies"
    share: str = key(
        "Which agents share a network: spaces = those with equal spaces | role = those whose names differ only in "
        "their number | none = each agent has its own.",
        choices=SHARING,
    )
    mapping: dict[str, str] | None = key(
        "Agent name, or a glob such as adversary_*, -> name of its network; the first match counts. Empty = see share."
    )
    agent_id: bool = key("Whether a one-hot agent id is appended to the observations of a shared network.")

    def __post_init__(self) -> None:
        super().__post_init__()
        # Empty in conf/ instead of null: OmegaConf cannot set entries of a null on the command line.
        self.mapping = self.mapping or None


@dataclass
class CheckpointConfig(Section):
    """Schedule of the checkpoints."""

    path: ClassVar[str] = "checkpoint"
    every_seconds: float = key("Seconds between checkpoints; another is written when the run ends.", above=0)
    keep: int = key("Number of newest checkpoints that are kept.", at_least=1)


@dataclass
class EvaluationConfig(Section):
    """Matches of the learner against fixed opponents, played in parallel with training."""

    path: ClassVar[str] = "evaluation"
    every_iterations: int | None = key("Iterations between evaluations; null = none while training.", at_least=1)
    games: int = key("Matches against each anchor, with alternating sides.", at_least=2)
    anchors: list[str] = key(
        "Fixed opponents: random, or mcts_<simulations> (OpenSpiel's, where the game exists there).",
        pattern="random|mcts_[1-9][0-9]*",
    )


@dataclass
class SweepConfig(Section):
    """What sweeps compare."""

    path: ClassVar[str] = "sweep"
    objective: str | None = key(
        "What a training run returns to a sweeper, more is better: an anchor (the score against it in the last "
        "evaluation) | exploitability (of the agent, with a minus) | return (per agent) | elo (above the run's first "
        "snapshot, so that runs cannot be compared) | null = return of a team without opponents, else the score "
        "against the last of evaluation.anchors, else exploitability.",
        pattern="return|exploitability|elo|random|mcts_[1-9][0-9]*",
    )


LARGEST_ADVISED_BATCH = 2**20
"""Env steps of a batch beyond which it is the number of matches that is wrong."""
TASKS_OF_A_RUN = {
    f"marl_app.tasks.{path}": reads
    for path, reads in {
        "evaluate.Evaluate": "run, such as run=runs/league/<time>",
        "exploit.Exploit": "run, such as run=runs/league/<time>",
        "report.Report": "run, such as run=runs/league/<time>",
        "garbage.CollectGarbage": "run, such as run=runs/league/<time>",
        "pack.Pack": "run, such as run=runs/league/<time>",
        "play.Play": "run, such as run=runs/league/<time>",
        "watch.Watch": "run, such as run=runs/league/<time>",
        "contrast.Contrast": "sweep, such as run=runs/sweeps/<time>",
        "study.Study": "sweep, such as run=runs/sweeps/<time>",
    }.items()
}
"""Tasks that read a run -> what they read."""


@dataclass
class Config(Section):
    """The whole configuration of a run."""

    name: str = key("Name of the run; part of its directory.", pattern="[A-Za-z0-9][A-Za-z0-9_.-]*")
    seed: int = key("Seed of everything random, of 32 bits.", at_least=0, at_most=2**32 - 1)
    output_dir: str = key("The run directory; set by Hydra: choose another with hydra.run.dir=DIR.")
    resume: str | None = key("A run directory to continue in, with its configuration and the overrides given now.")
    run: str | None = key("A run directory that the task reads; training reads none.")
    trust: bool = key(
        "Whether a run of someone else (resume, run, league.guests) may name classes to import; see docs/security.md."
    )
    init_from: str | None = key("A player, such as DIR:main@0003, whose weights all learners start with.")
    stop: StopConfig = key("When the run ends.")
    env: Leaf = key("The environment, which follows the batched contract.")
    algorithm: AlgorithmSettings = key("The learning algorithm.")
    model: Leaf = key("The network.")
    policies: PoliciesConfig = key("Which network each agent acts with.")
    league: LeagueConfig = key("The league: learners, pool and matchmaking.")
    store: Leaf = key("Where the snapshots are kept.")
    cache: Leaf = key("The cache between the store and the env runners.")
    runtime: RuntimeConfig = key("Processes and devices.")
    callbacks: dict[str, Leaf] = key("Callbacks that act on events of the run, by name.")
    checkpoint: CheckpointConfig = key("When the run is saved.")
    evaluation: EvaluationConfig = key("Matches against fixed opponents.")
    sweep: SweepConfig = key("What sweeps compare.")
    task: Leaf = key("The task that the app runs.")

    def __post_init__(self) -> None:
        # 1. Check the paths of all classes, before anything is imported.
        super().__post_init__()
        leaves = {name: getattr(self, name) for name in ("env", "model", "store", "cache", "task")}
        leaves |= {
            f"league.{name}": getattr(self.league, name) for name in ("matchmaker", "meta", "schedule", "thinning")
        }
        leaves |= {f"callbacks.{name}": leaf for name, leaf in self.callbacks.items()}
        for name, leaf in leaves.items():
            check_leaf(name, leaf)
        # 2. Choose the numbers of processes, on which the size of a batch depends.
        algorithm = self.algorithm
        self.runtime.settle(algorithm.train_batch_size_per_learner, algorithm.minibatch_size, algorithm.max_learners)
        self._check_batch()
        self._check_run()
        # 3. Check what concerns several sections.
        anchors, objective = self.evaluation.anchors, self.sweep.objective
        if objective not in (None, "return", "exploitability", "elo", *anchors):
            raise ConfigError(
                f"sweep.objective={objective} is not evaluated: add it to evaluation.anchors={anchors}, or give one of "
                "these, exploitability, return or elo"
            )
        most = self.algorithm.max_learners
        if most is not None and self.runtime.num_learners > most:
            raise ConfigError(
                f"runtime.num_learners={self.runtime.num_learners}: this algorithm trains in {most} process: "
                f"give runtime.num_learners={most} or 0"
            )
        if most is not None and self.runtime.colocated:
            raise ConfigError(
                f"runtime.num_learners={self.runtime.num_learners}: the driver keeps this algorithm's replay buffer, "
                "so that a learner does not play: give runtime.num_env_runners=1, or runtime.num_learners=0"
            )

        if self.algorithm.on_policy_only and self.runtime.pipeline:
            raise ConfigError(
                "runtime.pipeline=true: this algorithm learns only from experience of its current weights, and with a "
                "pipeline it is one update old: give runtime.pipeline=false"
            )

    @property
    def fragment_steps(self) -> int:
        """Steps of each match in a batch."""
        # Env steps of a batch, divided by the matches that are stepped together.
        size = self.algorithm.train_batch_size_per_learner * self._batch_factor
        matches: int = self.runtime.num_envs_per_env_runner
        return max(1, round(size / (self.runtime.playing_processes * matches)))

    @property
    def batch_steps(self) -> int:
        """Env steps of a batch: whole steps of all matches of all processes."""
        matches: int = self.runtime.num_envs_per_env_runner
        return self.fragment_steps * self.runtime.playing_processes * matches

    @property
    def minibatch_rows(self) -> int | None:
        """Rows of a gradient step, of all learners; None = the whole batch."""
        size = self.algorithm.minibatch_size
        return None if size is None else size * self._batch_factor

    @property
    def _batch_factor(self) -> int:
        return max(1, int(self.runtime.num_learners)) if self.runtime.scale_batch else 1

    def _check_run(self) -> None:
        """Raise ConfigError if the task reads a run and none is given, before the task is imported."""
        reads = TASKS_OF_A_RUN.get(self.task["_target_"])
        if reads is None:
            return
        if self.run is None:
            raise ConfigError(f"run=null: give the directory of a {reads}")
        if not Path(self.run).expanduser().is_dir():
            raise ConfigError(f"run={self.run}: there is no such directory: give the directory of a {reads}")

    def _check_batch(self) -> None:
        """Raise ConfigError unless a batch is a whole number of steps of all matches that are stepped together."""
        # Where matches are divided by `auto`, a few more or less than `num_matches` may be played.
        key = "runtime.num_matches" if self.runtime.is_auto else "runtime.num_envs_per_env_runner"
        processes = 1 if self.runtime.is_auto else self.runtime.playing_processes
        matches = self.runtime.num_matches if self.runtime.is_auto else self.runtime.num_envs_per_env_runner
        steps = processes * matches
        size = self.algorithm.train_batch_size_per_learner * self._batch_factor
        # Either the batch is too small for one step of all matches, or it is not a whole number of steps.
        if steps > size:
            raise ConfigError(
                f"{key}={matches}: a batch of "
                f"algorithm.train_batch_size_per_learner={size} has no step of all {steps:,} matches: give at most "
                f"{max(1, size // processes)} matches"
                + (f", or a batch of {steps}" if steps <= LARGEST_ADVISED_BATCH else "")
            )
        if size % steps:
            raise ConfigError(
                f"algorithm.train_batch_size_per_learner={size} is not a multiple of {steps}, the matches stepped "
                f"together ({f'{processes} processes x ' if processes > 1 else ''}{key}): give "
                f"{max(1, round(size / steps)) * steps}"
            )
