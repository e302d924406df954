"""The keys of `runtime`: processes and devices, and the numbers that stand for `auto` on this machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from marl_app.config.errors import ConfigError
from marl_app.config.machine import AUTO, Machine, chosen_size, this_machine
from marl_app.config.section import Section, check_number, key

AUTO_KEYS = ("num_env_runners", "num_learners", "num_envs_per_env_runner", "num_gpus_per_learner")


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
    average_every: int = key(
        "Gradient steps that each of several learners makes alone before their weights are averaged (local SGD), at "
        "the latest after an update; 1 = none: the gradients of every step are averaged.",
        at_least=1,
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
