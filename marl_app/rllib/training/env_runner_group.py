"""RLlib's group of env runners, made with the configuration by value instead of by reference.

RLlib passes a reference to the configuration in Ray's object store. An env runner that dies after the object has been
lost cannot be restarted, and Ray prints an error about that at the start of every run. Our configuration is small
(about 20 kB; Ray sends up to 100 kB within a call), so it travels in the call that makes an env runner.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.rllib.algorithms import algorithm as rllib_algorithm
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from marl_app.rllib.sampling.env_runner import module_spaces


class MatchEnvRunnerGroup(EnvRunnerGroup):
    """As RLlib's, but for how the configuration reaches the env runners; and it may be empty: learners play then."""

    def _setup(self, *, config: Any, **kwargs: Any) -> None:
        """Make the env runners: none in the driver where learners play their own matches."""
        if config.spec.settings.runtime.colocated:
            self._local_env_runner = None
        else:
            super()._setup(config=config, **kwargs)

    def get_spaces(self) -> Any:
        """Return the spaces of all modules, without asking an env runner."""
        return module_spaces(self._remote_config.spec)

    def _make_worker(self, *, config: Any, **kwargs: Any) -> Any:
        by_value = self._remote_config if isinstance(config, ray.ObjectRef) else config
        return super()._make_worker(config=by_value, **kwargs)


@contextmanager
def config_by_value() -> Iterator[None]:
    """Let RLlib's `Algorithm.setup` make a `MatchEnvRunnerGroup`: it names the class, and has no hook for another."""
    original = rllib_algorithm.EnvRunnerGroup
    rllib_algorithm.EnvRunnerGroup = MatchEnvRunnerGroup
    try:
        yield
    finally:
        rllib_algorithm.EnvRunnerGroup = original
