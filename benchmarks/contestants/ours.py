"""The app itself: `LeaguePPO`, composed from `conf/` and built by `marl_app.assembly` as a run of the app is.

Sampling alone is the app's own collection, with everything it does to ask env runners for fragments and to fetch
them; one iteration of training is one `train()`, freezing, publishing and match records included.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack

import numpy as np

from benchmarks.contestant import Steps
from benchmarks.settings import Settings
from marl_app.assembly.training import build
from marl_app.players.encoding import encode_player
from marl_app.rllib.ppo.algorithm import LeaguePPO
from marl_app.run import ray_session

FACTS = {
    "parameters": "policies/parameters",
    "broadcast_bytes": "policies/broadcast_bytes",
    "rows_per_env_step": "learner/rows_per_env_step",
    "rows_per_update": "learner/batch_rows",
}


class Ours:
    """The app with some overrides; `pool`: begin with so many different snapshots, and freeze no more."""

    def __init__(self, settings: Settings, overrides: tuple[str, ...] = (), pool: int = 0) -> None:
        never = ("league/schedule=every", "league.schedule.agent_steps=1_000_000_000_000")
        self._opened = ExitStack()
        directory = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="benchmark"))
        config = settings.config(*overrides, *(never if pool else ()), output_dir=directory)
        self._opened.enter_context(ray_session(config))
        self._algorithm: LeaguePPO = build(config).build_algo()
        self._opened.callback(self._algorithm.stop)
        publish_perturbed(self._algorithm, pool, settings.perturbation)

    def iterate(self, learn: bool) -> Steps:
        """One batch, collected or trained on."""
        algorithm = self._algorithm
        if learn:
            algorithm.train()
        else:
            algorithm._collect()
        return Steps(algorithm.stats.env_steps, algorithm.stats.rows)

    def facts(self) -> dict[str, float]:
        """Sizes, from the app's own report of its last update."""
        return {fact: self._algorithm.report[metric] for fact, metric in FACTS.items()}

    def close(self) -> None:
        """Ray and the run directory go."""
        self._opened.close()


def publish_perturbed(algorithm: LeaguePPO, count: int, scale: float) -> None:
    """Put copies of the learner into store and league, each with normal noise of standard deviation `scale`."""
    spec, rng = algorithm.spec, np.random.default_rng(0)
    for generation in range(count):
        weights = {
            name: (value + rng.normal(0.0, scale, value.shape)).astype(value.dtype)
            for name, value in algorithm.weights.read("main").items()
        }
        facts = {"player": f"{spec.main_learner}@{generation:04d}"}
        blob = encode_player(weights, spec.networks, spec.agents, spec.architecture, facts)
        algorithm.league.add_snapshot(spec.main_learner, algorithm.store.put(blob), 0, "perturbed for the benchmark")
