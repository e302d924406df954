"""RLlib's AlgorithmConfig as users and Tune set it: by RLlib's own methods, and by the keys of docs/config.md.

    LeaguePPOConfig().environment("tic_tac_toe").training(lr=3e-4).league({"league/matchmaker": "pfsp"})

What is not set here has the value of `conf/`, experiment `rllib`. The layer above composes, checks and builds the run.
It is named by its path, as `conf/` names classes: nothing in this folder imports it.
"""

from __future__ import annotations

import copy
import importlib
import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.utils import force_list
from ray.tune.search.sample import Domain

from marl_app.config.errors import ConfigError

ASSEMBLY = "marl_app.assembly.rllib_config"
"""What composes the settings of a `TunableConfig` and builds its run."""

# RLlib's attributes that RLlib itself uses here.
USED_BY_RLLIB = {
    *("callbacks_class", "callbacks_on_algorithm_init", "callbacks_on_checkpoint_loaded"),
    *("callbacks_on_env_runners_recreated", "log_level", "log_sys_usage", "disable_env_checking"),
    *("placement_strategy", "num_cpus_for_main_process", "custom_resources_for_main_process"),
    *("num_cpus_per_env_runner", "custom_resources_per_env_runner", "max_num_env_runner_restarts"),
    *("num_cpus_per_learner", "custom_resources_per_learner", "local_gpu_idx"),
    *("evaluation_interval", "evaluation_parallel_to_training", "evaluation_num_env_runners"),
}
NOT_CALLED = (
    *("on_environment_created", "on_episode_created", "on_episode_start", "on_episode_step", "on_episode_end"),
    *("on_sample_end", "on_evaluate_offline_start", "on_evaluate_offline_end"),
)
"""Events of RLlib's callbacks that do not happen here."""


class TunableConfig(AlgorithmConfig):
    """AlgorithmConfig that remembers what was set, and is completed by the values of `conf/`.

    league_keys: what was set by `league`. given: names of `keys` that were set. asked: of the configuration of a built
    algorithm, what it was built from.
    """

    keys_of_rllib: ClassVar[dict[str, str]] = {
        "seed": "seed",
        "num_env_runners": "runtime.num_env_runners",
        "num_envs_per_env_runner": "runtime.num_envs_per_env_runner",
        "num_gpus_per_env_runner": "runtime.num_gpus_per_env_runner",
        "num_learners": "runtime.num_learners",
        "num_gpus_per_learner": "runtime.num_gpus_per_learner",
        "delay_between_env_runner_restarts_s": "runtime.env_runner_restart_delay_s",
        "evaluation_duration": "evaluation.games",
    }
    """RLlib's attributes -> keys of the configuration with the same meaning; those of the algorithm are added to it."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class)
        self.spec: Any = None
        self.run_dir: str | None = None
        self.league_keys: dict[str, Any] = {}
        self.asked: dict[str, Any] | None = None
        self.given: set[str] = set()  # the last one: what is set from here on was set by the user

    def league(self, keys: Mapping[str, Any] | None = None, *, run_dir: str | None = None) -> Self:
        """Set keys of docs/config.md, groups included: `{"league/matchmaker": "pfsp", "evaluation.games": 100}`.

        Values may be search spaces of Tune. A new entry has a plus, as on the command line. run_dir: the directory of
        the run; by default a new one in `runs/rllib/`, or the trial's under Tune.
        """
        self.league_keys = {**self.league_keys, **(keys or {})}
        self.run_dir = run_dir or self.run_dir
        return self

    def training(self, **settings: Any) -> Self:
        """As RLlib's, and with every key of the group `algorithm`, such as `huber_delta`."""
        own = {name for name in settings if not self._is_attribute(name)}
        self.league({f"algorithm.{name}": settings[name] for name in own})
        super().training(**{name: value for name, value in settings.items() if name not in own})
        return self

    def update_from_dict(self, config_dict: Mapping[str, Any]) -> Self:
        """As RLlib's. Names with a dot or slash are keys of docs/config.md, unknown names keys of `algorithm`."""
        # Three kinds of names: keys of docs/config.md, RLlib's settings, and the rest, which are keys of `algorithm`.
        known = {}
        for name, value in config_dict.items():
            if name == "league_keys":
                self.league(value)
            elif re.search(r"[./+~]", name):
                self.league({name: value})
            elif name.startswith("__") or self._is_attribute(name):
                known[name] = value
            else:
                self.league({f"algorithm.{name}": value})
        super().update_from_dict(known)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return what was set and the values of `conf/` for the rest, for Tune; of a built algorithm what it was asked.

        Raises ConfigError if the settings do not compose.
        """
        if self.spec is not None:
            return copy.deepcopy(self.asked or {})
        # Without an environment nothing can be composed: only what was set is returned.
        filled = self if self.env is None else self.filled()
        names = {name for name in self.keys_of_rllib if hasattr(self, name)} if self.env is not None else self.given
        result = {name: getattr(filled, name) for name in names}
        own = {"env": self.env, "env_config": self.env_config, "league_keys": self.league_keys, "run_dir": self.run_dir}
        result |= {name: value for name, value in own.items() if value}
        result |= {name: getattr(self, name) for name in USED_BY_RLLIB & self._changed().keys()}
        return copy.deepcopy(result)

    def filled(self) -> Self:
        """Return a copy in which RLlib's attributes have the values of the run. Raises ConfigError."""
        values = importlib.import_module(ASSEMBLY).values_of(self)
        result: Self = self.copy(copy_frozen=False)
        for name, key in self.keys_of_rllib.items():
            if name not in self.given and key in values:
                setattr(result, name, values[key])
        return result

    def with_run(self, run_dir: str | None) -> Self:
        """Return a copy with a run, which is recorded in `run_dir` (None: a new directory).

        Raises ConfigError for what is missing, wrong, or a setting of RLlib that has no meaning here.
        """
        if self.env is None:
            raise ConfigError(
                'env is missing: add .environment("connect_four"), another option of conf/env, or a class'
            )
        if unknown := sorted(name.lstrip("_") for name in self._changed() if name not in USED_BY_RLLIB):
            raise ConfigError(f"{', '.join(unknown)}: settings of RLlib without a meaning here: leave them out")
        # A hook that differs from RLlib's base class is overridden, and would silently never be called.
        for made in force_list(self.callbacks_class):
            for name in NOT_CALLED:
                if getattr(made, name, None) is not getattr(RLlibCallback, name):
                    raise ConfigError(f"callbacks: {made.__name__}.{name} is for RLlib's env runner: leave it out")
        if self.evaluation_num_env_runners > 1:
            raise ConfigError("evaluation_num_env_runners: one process evaluates: give 0 or 1")
        result: Self = importlib.import_module(ASSEMBLY).with_run(self, run_dir or self.run_dir)
        return result

    def settings_given(self) -> dict[str, Any]:
        """Return key -> value of what was set, without what Tune has not drawn yet."""
        given = {key: getattr(self, name) for name, key in self.keys_of_rllib.items() if name in self.given}
        # In parallel with training a callback evaluates, on the schedule that RLlib's setting gives.
        if self.evaluation_parallel_to_training:
            given["evaluation.every_iterations"] = self.evaluation_interval
        settled = {key: value for key, value in {**self.league_keys, **given}.items() if not _is_search_space(value)}
        # RLlib's infinity, no clipping, is null in `conf/`.
        return {key: None if value == math.inf else value for key, value in settled.items()}

    def _changed(self) -> dict[str, Any]:
        """Return RLlib's attributes that differ from those of a new configuration, without those that are keys."""
        fresh = vars(type(self)())
        own = ("algo_class", "env", "env_config", "spec", "run_dir", "league_keys", "asked", "given")
        return {
            name: value
            for name, value in vars(self).items()
            if name not in own and name.lstrip("_") not in self.keys_of_rllib and value != fresh.get(name)
        }

    def _is_attribute(self, name: str) -> bool:
        """Return whether RLlib has a setting of this name."""
        name = self._translate_special_keys(name, warn_deprecated=False)
        return hasattr(self, name) or hasattr(self, f"_{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        """As RLlib's, and note that the name was set."""
        super().__setattr__(name, value)
        # During `__init__` there is no `given` yet, so defaults do not count as given.
        if "given" in vars(self) and name.lstrip("_") in self.keys_of_rllib:
            self.given.add(name.lstrip("_"))

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, self._translate_special_keys(name), value)


def _is_search_space(value: Any) -> bool:
    """Return whether Tune has yet to draw a value: `tune.uniform(0, 1)`, `tune.grid_search([1, 2])`."""
    return isinstance(value, Domain) or (isinstance(value, dict) and "grid_search" in value)
