"""Every key of the configuration but those of `algorithm` (algorithms.py): type, meaning and bounds.

Values are in `conf/` only: a key without a value there is an error. Groups that the app reads are dataclasses; groups
that are passed to a constructor (env, model, matchmaker, ...) are `_target_` leaves, which that constructor checks.
`docs/config.md` is generated from these dataclasses and `conf/`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from marl_app.config.algorithms import AlgorithmSettings
from marl_app.config.errors import ConfigError
from marl_app.config.machine import AUTO, Machine, available_cores, chosen_size, this_machine
from marl_app.config.section import Section, check_number, key
from marl_app.config.targets import check_leaf
from marl_app.league.players import LINEAGE, MAIN_AGENT, ROLES

__all__ = [
    "SHARING",
    "AlgorithmSettings",
    "CheckpointConfig",
    "Config",
    "EvaluationConfig",
    "LeagueConfig",
    "LearnerConfig",
    "PoliciesConfig",
    "RuntimeConfig",
    "Section",
    "StopConfig",
    "available_cores",
    "key",
]

Leaf = dict[str, Any]
SHARING = ("spaces", "role", "none")
AUTO_KEYS = ("num_env_runners", "num_learners", "num_envs_per_env_runner", "num_gpus_per_learner")


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
class LearnerConfig(Section):
    """A learner of the league. Its name is its lineage: the snapshots of `main` are `main@0000`, `main@0001`, ..."""

    path: ClassVar[str] = "league.learners.<name>"
    role: str = key(
        "What it trains for: main_agent = robustness against every opponent | main_exploiter = weaknesses of the "
        "current main agents | league_exploiter = weaknesses of the whole pool.",
        default=MAIN_AGENT,
        choices=ROLES,
    )
    share: float = key("Share of the env steps, relative to the shares of the other learners.", default=1.0, above=0)
    reset_to: str = key(
        "What an exploiter restarts from after a freeze: initial = the weights that training began with | a snapshot, "
        "such as main@0003 | a lineage: its newest snapshot | never: it continues.",
        default="initial",
        pattern=f"initial|never|{LINEAGE}(@[0-9]{{4,}})?",
    )
    side: int | None = key(
        "Side that it plays, 0 or 1, against players of the other side: for games of two sides that differ, and then "
        "set for all learners. null = every side in turn.",
        default=None,
        at_least=0,
        at_most=1,
    )


@dataclass
class LeagueConfig(Section):
    """The league: learners, pool, matchmaking, and when a learner is frozen into the pool."""

    path: ClassVar[str] = "league"
    learners: dict[str, Any] = key(
        "Learners by name. The first is evaluated and shown in curves.", entries=LearnerConfig
    )
    guests: dict[str, str] = key(
        "Additional members of the pool by name: a player of another run (DIR, DIR:main@0003), a packed player "
        "(agent.marl), a digest in the store, random, mcts_<simulations>, or the class of a bot (package.module.Class)."
    )
    turn: int = key(
        "Iterations that a learner trains before the next learner's turn; unfinished matches are then cut off.",
        at_least=1,
    )
    decay_per_game: float = key(
        "Weight of an old game in a win rate after one more game of the same pair; 1 = no decay.",
        above=0,
        at_most=1,
    )
    freeze: str = key(
        "What is evaluated, frozen and saved as the player of a learner: its weights | the average of its weights.",
        choices=("weights", "average"),
    )
    average_rate: float = key(
        "Weight of the new weights in the average, after every update. Only with freeze=average.", above=0, at_most=1
    )
    pool_limit: int | None = key("Largest number of snapshots in the pool; null = no limit.", at_least=1)
    sims_per_entry: int | None = key(
        "Matches between each two snapshots, for the payoff that the meta-strategy is solved from, played in parallel "
        "with training after a freeze; exact in small games. With more than two sides: matches of each lineup. null = "
        "the payoff is that of the matches played in training.",
        at_least=2,
    )
    placement_tolerance: float = key(
        "How far assignments prefer snapshots that the env runner or its rack's cache holds: the share of the "
        "probability of the other snapshots that moves to these; 0 = exactly the matchmaker's probabilities.",
        at_least=0,
        at_most=0.99,
    )
    matchmaker: Leaf = key("Rule that picks the opponent of a match.")
    meta: Leaf = key("Meta-strategy: the distribution over the pool with which the league as a whole plays.")
    schedule: Leaf = key("When the learner is frozen into the pool.")
    thinning: Leaf = key("Which snapshots leave a pool that exceeds its limit.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.learners:
            raise ConfigError(
                "league.learners is empty: give at least one, such as +league.learners.main={role: main_agent}"
            )
        # Entries are checked here: OmegaConf does not check the values of a mapping of free names.
        self.learners = {name: _learner(name, content) for name, content in self.learners.items()}
        for name in self.guests:
            if not re.fullmatch(LINEAGE, name):
                raise ConfigError(f"league.guests.{name} is not allowed: give a name that matches {LINEAGE}")
            if name in self.learners:
                raise ConfigError(f"league.guests.{name} has the name of a learner: give another name")


def _learner(name: str, content: Any) -> LearnerConfig:
    """Return the section of an entry of `league.learners`. Raises ConfigError, naming the learner."""
    keys = [item.name for item in fields(LearnerConfig)]
    if not re.fullmatch(LINEAGE, name):
        raise ConfigError(f"league.learners.{name} is not allowed: give a name that matches {LINEAGE}")
    if not isinstance(content, dict) or content.keys() - set(keys):
        raise ConfigError(
            f"league.learners.{name}={content} is not allowed: give {{role: ...}}; keys: {', '.join(keys)}"
        )
    try:
        return LearnerConfig(**content)
    except ConfigError as error:
        raise ConfigError(str(error).replace("<name>", name)) from error


@dataclass
class RuntimeConfig(Section):
    """Processes and devices that play matches and train."""

    path: ClassVar[str] = "runtime"
    derived: ClassVar[tuple[str, ...]] = ("chosen", "is_auto")
    chosen = ""  # what `auto` stands for and why, for the user; set by `settle`
    is_auto = False  # whether `settle` has divided the matches among the processes
    address: str | None = key(
        "Ray cluster that the run joins: auto = that of RAY_ADDRESS, or of this machine | host:port of its head; "
        "null = the run starts Ray on this machine."
    )
    num_env_runners: Any = key(
        "Processes that play matches; 0 = the learners play them, in the driver with num_learners=0; auto = what the "
        "machine allows.",
        at_least=0,
    )
    num_matches: int = key("Matches that are stepped together, in all processes.", at_least=1)
    num_envs_per_env_runner: Any = key(
        "Matches that each process steps together; auto = num_matches divided among the processes.", at_least=1
    )
    pipeline: bool = key("Whether the next batch is collected while the learner trains on the last one.")
    opponent_slots: int = key("Frozen opponents that an env runner holds at the same time.", at_least=1)
    prefetch: bool = key("Whether env runners receive their next opponents early, and fetch them while they play.")
    num_learners: Any = key(
        "Processes that train together; 0 = the driver trains. With num_env_runners=0 each plays its own matches. "
        "auto = what the machine allows.",
        at_least=0,
    )
    scale_batch: bool = key(
        "Whether batches and minibatches are num_learners times as large as the algorithm's settings say."
    )
    num_gpus_per_learner: Any = key(
        "GPUs of each learner; 0.5 = half of a GPU; auto = 1 where torch can use GPUs, else 0.", at_least=0
    )
    num_gpus_per_env_runner: float = key("GPUs of each env runner; 0.1 = a tenth of a GPU.", at_least=0)
    num_cpus: int | None = key(
        "Cores that Ray may use if the run starts it; null = all cores of this machine.", at_least=1
    )
    no_progress_timeout_s: float = key(
        "Seconds without a finished iteration after which the run stops and reports why.", above=0
    )
    env_runner_restart_delay_s: float = key("Seconds before a dead env runner is restarted.", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.address is not None and self.num_cpus is not None:
            raise ConfigError(
                f"runtime.num_cpus={self.num_cpus} is for a Ray that the run starts: leave it out with runtime.address="
                f"{self.address}, whose nodes report their cores"
            )
        # `auto` stays until `settle`, which sees the other settings.
        for name in AUTO_KEYS:
            value = getattr(self, name)
            if value != AUTO:
                hint = float if name == "num_gpus_per_learner" else int
                setattr(self, name, check_number(f"runtime.{name}", value, hint, f" or {AUTO}"))

    def settle(self, batch: int, minibatch: int | None, most_learners: int | None) -> None:
        """Replace `auto` by numbers, and check what concerns several of them. Raises ConfigError.

        batch, minibatch, most_learners: settings of the algorithm.
        """
        # 1. The numbers that this machine allows, where none are given.
        machine = this_machine()
        cores = self.num_cpus or machine.cores
        given = {name: None if getattr(self, name) == AUTO else getattr(self, name) for name in AUTO_KEYS}
        size = chosen_size(
            # Of a cluster's machines nothing is known here: a learner in the driver, and an env runner.
            replace(machine, cores=cores) if self.address is None else Machine(2),
            rows=minibatch or batch,
            matches=self.num_matches,
            most_learners=most_learners,
            env_runners=given["num_env_runners"],
            learners=given["num_learners"],
            gpus_per_learner=given["num_gpus_per_learner"],
        )
        # 2. Refuse what cannot work on this machine, or leaves learners without experience.
        for name in ("num_env_runners", "num_learners"):
            if self.address is None and (number := getattr(size, name)) > cores:
                whose = "runtime.num_cpus" if self.num_cpus else "the cores of this machine"
                raise ConfigError(
                    f"runtime.{name}={number} is more than {cores}, {whose}: give runtime.{name}={cores} or fewer"
                )
        if 0 < size.num_env_runners < size.num_learners:
            raise ConfigError(
                f"runtime.num_learners={size.num_learners}: with {size.num_env_runners} env runners some learners have "
                f"no experience: give runtime.num_env_runners={size.num_learners} or more, or 0, and learners play"
            )
        # 3. Set the numbers, divide the matches among the processes, and say what was chosen.
        self.num_env_runners, self.num_learners = size.num_env_runners, size.num_learners
        self.num_gpus_per_learner = size.num_gpus_per_learner
        self.is_auto = self.num_envs_per_env_runner == AUTO
        if self.is_auto:
            self.num_envs_per_env_runner = max(1, round(self.num_matches / self.playing_processes))
        chosen = [f"{name}={getattr(self, name)}" for name in AUTO_KEYS if given[name] is None]
        self.chosen = f"runtime: {size.why} ({', '.join(chosen)})" if chosen and self.address is None else ""

    @property
    def colocated(self) -> bool:
        """Whether learner processes play their own matches."""
        return bool(self.num_learners > 0 and self.num_env_runners == 0)

    @property
    def playing_processes(self) -> int:
        """How many processes play matches: env runners, learners, or the driver."""
        return int(self.num_env_runners or self.num_learners or 1)


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
