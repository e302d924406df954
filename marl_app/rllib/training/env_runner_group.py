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


class MatchEnvRunnerGroup(EnvRunnerGroup):
    """As RLlib's, but for how the configuration reaches the env runners."""

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
