"""Every key of the configuration on one page: its type, what it means, and what it may be.

The values stand in `conf/`, never here: a key without a value there is an error. Groups that the app reads itself
are dataclasses; groups that are somebody's constructor (env, model, matchmaker, ...) are `_target_` leaves, checked by
that constructor. `docs/config.md` is generated from this page and `conf/`.

Hydra's dialect of dataclasses: not frozen, no Literal; `X | None` and `dict[str, X]` work.
"""

from __future__ import annotations

import importlib.util
import math
import os
import re
import types
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, get_args, get_type_hints

from marl_app.config.errors import ConfigError
from marl_app.config.renamed import current_path
from marl_app.league.players import LINEAGE, MAIN_AGENT, ROLES

Leaf = dict[str, Any]


def key(
    help: str,
    *,
    default: Any = MISSING,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: tuple[str, ...] = (),
    pattern: str = "",
    entries: type | None = None,
) -> Any:
    """A key: one sentence for the documentation, and the bounds of its value (checked in `Section.__post_init__`).

    `entries` is the section of every entry of a mapping from names that users choose. `conf/` knows nothing of them, so
    that their keys alone have a `default`.
    """
    bounds = {"above": above, "at_least": at_least, "at_most": at_most, "choices": choices, "pattern": pattern}
    return field(default=default, metadata={"help": help, "entries": entries, **bounds})


def allowed(bounds: Any) -> str:
    """The bounds of a key in words, "" if there are none. `bounds` is the metadata of its field."""
    if bounds["choices"]:
        return " | ".join(bounds["choices"])
    words = [
        f"{sign} {bounds[name]:g}"
        for name, sign in (("above", ">"), ("at_least", ">="), ("at_most", "<="))
        if bounds[name] is not None
    ]
    return " and ".join(words) or (f"matches {bounds['pattern']}" if bounds["pattern"] else "")


@dataclass
class Section:
    """A group of keys whose bounds are checked when it is made. Raises ConfigError, naming the key.

    OmegaConf has seen to the types of a group that the app reads. A section may also be somebody's `_target_` leaf,
    where nobody has: its numbers are checked here, and 2e8 is a whole number.
    """

    path: ClassVar[str] = ""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for item in fields(self):
            if "help" not in item.metadata:
                continue
            name = f"{self.path}.{item.name}".lstrip(".")
            value = _number(name, getattr(self, item.name), hints[item.name])
            setattr(self, item.name, value)
            if value is None:
                continue
            for one in value if isinstance(value, list) else [value]:
                if not _within(one, item.metadata):
                    raise ConfigError(f"{name}={one} is not allowed: give {_fix(item.metadata)}")


def _number(name: str, value: Any, hint: Any) -> Any:
    """The value; where the key is a number, as one of its type. Raises ConfigError if it is none."""
    kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if kinds[0] not in (int, float) or (value is None and len(kinds) > 1):
        return value
    if value is None:
        raise ConfigError(f"{name}=null is not allowed")
    whole = kinds[0] is int
    if isinstance(value, bool) or not isinstance(value, int | float) or (whole and value % 1):
        raise ConfigError(f"{name}={value} is not {'a whole number' if whole else 'a number'}")
    return int(value) if whole else value


def _within(value: Any, bounds: Any) -> bool:
    if isinstance(value, str):
        chosen = not bounds["choices"] or value in bounds["choices"]
        return chosen and (not bounds["pattern"] or re.fullmatch(bounds["pattern"], value) is not None)
    if bounds["choices"] or bounds["pattern"]:
        return False
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return (
        math.isfinite(value)
        and (bounds["above"] is None or value > bounds["above"])
        and (bounds["at_least"] is None or value >= bounds["at_least"])
        and (bounds["at_most"] is None or value <= bounds["at_most"])
    )


def _fix(bounds: Any) -> str:
    if bounds["choices"]:
        return f"one of {', '.join(bounds['choices'])}"
    if bounds["pattern"]:
        return f"a value that {allowed(bounds)}"
    return f"a value {allowed(bounds) or 'that is finite'}"


@dataclass
class StopConfig(Section):
    """When the run ends: at the first limit that is reached. All null: at Ctrl-C."""

    path: ClassVar[str] = "stop"
    env_steps: int | None = key("Steps of single matches, counted over the whole run; null = no limit.", above=0)
    minutes: float | None = key("Minutes of training, counted over the whole run; null = no limit.", above=0)
    iterations: int | None = key("Updates of the learner, counted over the whole run; null = no limit.", above=0)


CRITICS = ("local", "state", "agent_state")
SHARING = ("spaces", "role", "none")


@dataclass
class AlgorithmConfig(Section):
    """What all learning algorithms have. Each family adds keys of its own, which exist where it is chosen."""

    path: ClassVar[str] = "algorithm"
    option: ClassVar[str] = ""
    """The option of the group `algorithm` that shows a family's defaults."""
    rllib_config: ClassVar[str] = ""
    """The path of the `MatchConfig` that trains with these settings."""
    max_learners: ClassVar[int | None] = None
    """Learner processes that the algorithm can use; None = any number."""
    lr: float = key("Learning rate of Adam.", above=0)
    gamma: float = key("Discount of the reward of an agent's next own turn.", at_least=0, at_most=1)
    grad_clip: float | None = key("Bound of the gradient, see grad_clip_by; null = no clipping.", above=0)
    grad_clip_by: str = key("What grad_clip bounds.", choices=("value", "norm", "global_norm"))
    train_batch_size_per_learner: int = key("Env steps collected per iteration, for each learner process.", at_least=1)
    minibatch_size: int = key("Rows per gradient step: agent steps of PPO, env steps of a mixer.", at_least=1)
    death_masking: bool = key("Whether a central state shows zeros in the place of agents that have finished.")
    normalize_rewards: bool = key("Whether rewards are divided by the running deviation of discounted returns.")

    def network_settings(self) -> dict[str, Any]:
        """Arguments of `networks_of` that the algorithm decides."""
        return {}


@dataclass
class PPOConfig(AlgorithmConfig):
    """Proximal policy optimization (ppo, ippo, mappo), with RLlib's names and meanings."""

    option: ClassVar[str] = "ppo"
    rllib_config: ClassVar[str] = "marl_app.rllib.ppo.algorithm.LeaguePPOConfig"
    lambda_: float = key("Lambda of generalized advantage estimation.", at_least=0, at_most=1)
    clip_param: float = key("How far the probability ratio may leave 1 before the gradient is cut.", above=0)
    vf_clip_param: float | None = key("Bound of the squared value error; null = no clipping.", above=0)
    vf_loss_coeff: float = key("Weight of the value loss.", at_least=0)
    entropy_coeff: Any = key(
        "Weight of the entropy bonus; or [[0, weight], [env step, weight], ...]: linear in between, constant after the "
        "last.",
        at_least=0,
    )
    use_kl_loss: bool = key("Whether the KL divergence to the old policy is a term of the loss.")
    kl_coeff: float = key("First weight of the KL term, which adapts; only with use_kl_loss.", at_least=0)
    kl_target: float = key("KL divergence that the adaptive weight aims at; only with use_kl_loss.", above=0)
    num_epochs: int = key("Passes over the rows of one update.", at_least=1)
    shuffle_batch_per_epoch: bool = key("Whether the rows are shuffled before every pass.")
    critic: str = key(
        "What the critic sees: local = the agent's observation | state = the environment's global state or, without "
        "one, the observations of the agent's side | agent_state = that and the agent's observation.",
        choices=CRITICS,
    )
    huber_delta: float | None = key("Value error from which its loss grows linearly; null = squared error.", above=0)
    normalize_advantages: bool = key("Whether advantages have mean 0 and deviation 1 in every batch.")
    normalize_values: bool = key("Whether the critic learns values in units of their running deviation (PopArt).")

    def network_settings(self) -> dict[str, Any]:
        """The critic that the key asks for."""
        return {"critic": self.critic}

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.entropy_coeff, list):
            check_schedule("algorithm.entropy_coeff", self.entropy_coeff, "weights >= 0")
        else:
            _number("algorithm.entropy_coeff", self.entropy_coeff, float)
        if self.minibatch_size > self.train_batch_size_per_learner:
            raise ConfigError(
                f"algorithm.minibatch_size={self.minibatch_size} is more than algorithm.train_batch_size_per_learner="
                f"{self.train_batch_size_per_learner}: give a minibatch that is not larger than the batch"
            )


@dataclass
class ValueDecompositionConfig(AlgorithmConfig):
    """Value decomposition of a cooperative team (vdn, qmix), with the names and meanings of RLlib's DQN."""

    option: ClassVar[str] = "qmix"
    rllib_config: ClassVar[str] = "marl_app.rllib.team_q.algorithm.TeamQConfig"
    max_learners: ClassVar[int | None] = 1
    mixer: str = key(
        "How the value of the team follows from those of its agents: vdn = their sum | qmix = a network that is "
        "monotonic in each, with weights made from the global state.",
        choices=("vdn", "qmix"),
    )
    mixing_embed_dim: int = key("Width of the mixing network; only with mixer=qmix.", at_least=1)
    hypernet_embed: int = key("Width of the networks that make its weights; only with mixer=qmix.", at_least=1)
    double_q: bool = key("Whether the next actions are chosen by the trained networks, and valued by the targets.")
    bootstrap_truncated: bool = key(
        "Whether a match that is cut off is worth what would have come; false = as if it had ended there."
    )
    target_network_update_freq: int = key("Env steps between updates of the target networks.", at_least=1)
    tau: float = key("Share of the trained networks in an update of the targets; 1 = a copy.", above=0, at_most=1)
    huber_delta: float | None = key("TD error from which its loss grows linearly; null = squared error.", above=0)
    epsilon: list[Any] = key(
        "Share of random actions in training, as [[env step, share], ...]: linear in between, constant after the last."
    )
    training_intensity: float = key("How often an env step is trained on, on average.", above=0)
    replay_capacity: int = key("Env steps that the replay buffer keeps.", at_least=1)
    num_steps_sampled_before_learning_starts: int = key(
        "Env steps in the replay buffer before learning starts, or goes on after a resume.", at_least=0
    )

    def network_settings(self) -> dict[str, Any]:
        """Networks that output values of actions."""
        return {"epsilon_greedy": True}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_schedule("algorithm.epsilon", self.epsilon, "shares from 0 to 1", at_most=1)
        # A fragment has at most two rows per env step: one more where a match was cut off.
        for name, factor in (("train_batch_size_per_learner", 2), ("num_steps_sampled_before_learning_starts", 1)):
            least = factor * getattr(self, name)
            if self.replay_capacity < least:
                raise ConfigError(
                    f"algorithm.replay_capacity={self.replay_capacity} is too little for algorithm.{name}="
                    f"{getattr(self, name)}: give at least {least}"
                )


def check_schedule(name: str, schedule: list[Any], values: str, at_most: float = math.inf) -> None:
    """ConfigError unless it is [[0, value], [step, value], ...] with growing steps and such values."""
    numbers = [point for point in schedule if isinstance(point, list) and len(point) == 2]
    flat = [number for point in numbers for number in point]
    if (
        not schedule
        or len(numbers) < len(schedule)
        or any(isinstance(number, bool) or not isinstance(number, int | float) for number in flat)
        or schedule[0][0] != 0
        or any(first[0] >= second[0] for first, second in zip(schedule[:-1], schedule[1:], strict=True))
        or not all(math.isfinite(value) and 0 <= value <= at_most for _, value in schedule)
    ):
        raise ConfigError(
            f"{name}={schedule} is no schedule: give [[0, value], [env step, value], ...] with growing steps and "
            f"{values}"
        )


@dataclass
class PoliciesConfig(Section):
    """Which agent acts with which network."""

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
        # Empty in conf/, because OmegaConf cannot set a mapping on the command line where null is the default.
        self.mapping = self.mapping or None


@dataclass
class LearnerConfig(Section):
    """A learner of the league. Its name is its lineage: the snapshots of `main` are `main@0000` and so on."""

    path: ClassVar[str] = "league.learners.<name>"
    role: str = key(
        "What it is for: main_agent = to be robust against everybody | main_exploiter = to find weaknesses of the main "
        "agents as they are | league_exploiter = to find weaknesses that the whole pool shares.",
        default=MAIN_AGENT,
        choices=ROLES,
    )
    share: float = key("Its share of the env steps, relative to the other learners'.", default=1.0, above=0)
    reset_to: str = key(
        "What an exploiter starts again from after a freeze: initial = the weights that training began with | a "
        "snapshot, as main@0003 | a lineage: its newest snapshot.",
        default="initial",
        pattern=f"initial|{LINEAGE}(@[0-9]{{4,}})?",
    )
    side: int | None = key(
        "The side that it plays, 0 or 1, against players of the other side: give all learners one, in a game of two "
        "sides whose parts differ. null = every side in turn.",
        default=None,
        at_least=0,
        at_most=1,
    )


@dataclass
class LeagueConfig(Section):
    """Who learns, who plays whom, and when a learner is frozen into the pool."""

    path: ClassVar[str] = "league"
    learners: dict[str, Any] = key(
        "Who trains, by name. The first one is evaluated and shown in curves.", entries=LearnerConfig
    )
    guests: dict[str, str] = key(
        "Who else sits in the pool, by name: a player of another run (DIR, DIR:main@0003), a digest in the store, "
        "random, mcts_<simulations>, or the class of a bot (package.module.Class)."
    )
    turn: int = key(
        "Iterations that a learner trains before it is another's turn; matches are broken off then.", at_least=1
    )
    decay_per_game: float = key(
        "What an old game weighs in a win rate after one more game of the same pair; 1 = never forget.",
        above=0,
        at_most=1,
    )
    pool_limit: int | None = key("Snapshots in the pool; null = no limit.", at_least=1)
    sims_per_entry: int | None = key(
        "Matches between each two snapshots, for the payoff that the meta-strategy is solved from, played beside "
        "training after a freeze; exact in small games. With more than two sides: of each lineup of them. null = what "
        "their learners have played counts.",
        at_least=2,
    )
    placement_tolerance: float = key(
        "How far assignments prefer snapshots that the env runner or its rack's cache holds: the share of the others' "
        "probability that goes to these; 0 = exactly what the matchmaker says.",
        at_least=0,
        at_most=0.99,
    )
    matchmaker: Leaf = key("The rule that picks the opponent of a match.")
    meta: Leaf = key("The meta-strategy: how the pool as a whole is played.")
    schedule: Leaf = key("When the learner is frozen into the pool.")
    thinning: Leaf = key("Who leaves a pool that is larger than its limit.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.learners:
            raise ConfigError("league.learners is empty: give one, as +league.learners.main={role: main_agent}")
        self.learners = {name: _learner(name, content) for name, content in self.learners.items()}
        for name in self.guests:
            if not re.fullmatch(LINEAGE, name):
                raise ConfigError(f"league.guests.{name} is not allowed: give a name that matches {LINEAGE}")
            if name in self.learners:
                raise ConfigError(f"league.guests.{name} goes by the name of a learner: give it another one")


def _learner(name: str, content: Any) -> LearnerConfig:
    """An entry of `league.learners`."""
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
    """Where the work is done."""

    path: ClassVar[str] = "runtime"
    address: str | None = key(
        "The Ray cluster that the run joins: auto = that of RAY_ADDRESS, or of this machine | host:port of its head; "
        "null = a Ray of its own, on this machine."
    )
    num_env_runners: int = key("Processes that play matches; 0 = the driver plays them itself.", at_least=0)
    num_envs_per_env_runner: int = key("Matches that an env runner steps together.", at_least=1)
    pipeline: bool = key("Whether the next batch is collected while the learner trains on the last one.")
    opponent_slots: int = key("Frozen opponents that an env runner holds at once.", at_least=1)
    prefetch: bool = key("Whether env runners are told their next opponents early, and fetch them while they play.")
    num_learners: int = key(
        "Processes that train; 0 = the driver does. n of them train on batches and minibatches that are n times as "
        "large, in about the time of one.",
        at_least=0,
    )
    num_gpus_per_learner: float = key("GPUs of the learner, or a share of one.", at_least=0)
    num_gpus_per_env_runner: float = key("GPUs of each env runner, or a share of one.", at_least=0)
    num_cpus: int | None = key("Cores that a Ray of its own may use; null = those of this machine.", at_least=1)
    no_progress_timeout_s: float = key("A run without a finished iteration for so long stops with the reason.", above=0)
    env_runner_restart_delay_s: float = key("Wait before a dead env runner is started again.", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.address is not None and self.num_cpus is not None:
            raise ConfigError(
                f"runtime.num_cpus={self.num_cpus} is of a Ray that the run starts: leave it out with runtime.address="
                f"{self.address}, whose nodes say how many they have"
            )
        cores = self.num_cpus or available_cores()
        if self.address is None and self.num_env_runners > cores:
            whose = "runtime.num_cpus" if self.num_cpus else "the cores of this machine"
            raise ConfigError(
                f"runtime.num_env_runners={self.num_env_runners} is more than {cores}, {whose}: "
                f"give runtime.num_env_runners={cores} or fewer"
            )


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class CheckpointConfig(Section):
    """When the run is saved."""

    path: ClassVar[str] = "checkpoint"
    every_seconds: float = key("Seconds between checkpoints; one more is written when the run ends.", above=0)
    keep: int = key("Newest checkpoints that are kept.", at_least=1)


@dataclass
class EvaluationConfig(Section):
    """Matches of the learner against fixed opponents, played beside training."""

    path: ClassVar[str] = "evaluation"
    every_iterations: int | None = key("Iterations between evaluations; null = none while training.", at_least=1)
    games: int = key("Games against each anchor, the sides alternating.", at_least=2)
    anchors: list[str] = key(
        "Fixed opponents: random, or mcts_<simulations> (OpenSpiel's, where the game exists there).",
        pattern="random|mcts_[1-9][0-9]*",
    )


@dataclass
class Config(Section):
    """The whole configuration of a run."""

    name: str = key("Name of the run; part of its directory.", pattern="[A-Za-z0-9][A-Za-z0-9_.-]*")
    seed: int = key("Seed of everything random.", at_least=0)
    output_dir: str = key("The run directory; set by Hydra: choose another with hydra.run.dir=DIR.")
    resume: str | None = key("A run directory to continue in, with its configuration and the overrides given now.")
    run: str | None = key("A run directory that the task reads; training reads none.")
    stop: StopConfig = key("When the run ends.")
    env: Leaf = key("The environment, of the batched contract.")
    algorithm: AlgorithmConfig = key("The learning algorithm.")
    model: Leaf = key("The network.")
    policies: PoliciesConfig = key("Which agent acts with which network.")
    league: LeagueConfig = key("Who plays whom.")
    store: Leaf = key("Where the snapshots are kept.")
    cache: Leaf = key("What lies between the store and the env runners.")
    runtime: RuntimeConfig = key("Where the work is done.")
    callbacks: dict[str, Leaf] = key("What happens at events of the run, by name.")
    checkpoint: CheckpointConfig = key("When the run is saved.")
    evaluation: EvaluationConfig = key("Matches against fixed opponents.")
    task: Leaf = key("What the app does.")

    def __post_init__(self) -> None:
        super().__post_init__()
        leaves = {name: getattr(self, name) for name in ("env", "model", "store", "cache", "task")}
        leaves |= {
            f"league.{name}": getattr(self.league, name) for name in ("matchmaker", "meta", "schedule", "thinning")
        }
        leaves |= {f"callbacks.{name}": leaf for name, leaf in self.callbacks.items()}
        for name, leaf in leaves.items():
            if "_target_" not in leaf:
                raise ConfigError(f"{name}._target_ is missing: give the path of a class, such as package.module.Class")
            _check_targets(name, leaf)
        self._check_batch()
        most = self.algorithm.max_learners
        if most is not None and self.runtime.num_learners > most:
            raise ConfigError(
                f"runtime.num_learners={self.runtime.num_learners}: this algorithm trains in {most} process: "
                f"give runtime.num_learners={most} or 0"
            )

    def _check_batch(self) -> None:
        steps = max(1, self.runtime.num_env_runners) * self.runtime.num_envs_per_env_runner
        size = self.algorithm.train_batch_size_per_learner
        if size % steps:
            raise ConfigError(
                f"algorithm.train_batch_size_per_learner={size} is no multiple of {steps}, the matches stepped "
                f"together (env runners x runtime.num_envs_per_env_runner): give {max(1, round(size / steps)) * steps}"
            )


def _check_targets(path: str, value: Any) -> None:
    """Check that the module of every `_target_` exists (found, not imported: importing may take long).

    Paths that recorded runs know under an old name are replaced by the current ones, in place.
    """
    if isinstance(value, list):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return
    if "_target_" in value:
        target = value["_target_"]
        if isinstance(target, str):
            target = value["_target_"] = current_path(target)
        module = target.rpartition(".")[0] if isinstance(target, str) else ""
        if not module or not _exists(module):
            what = (
                f"there is no module {module}" if module else "give the path of a class, such as package.module.Class"
            )
            raise ConfigError(f"{path}._target_={target}: {what}")
    for name, item in value.items():
        _check_targets(f"{path}.{name}", item)


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # no such package around it
        return False
