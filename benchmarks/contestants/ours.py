"""The app: `LeaguePPO`, composed from `conf/` and built by `marl_app.assembly` as for a run.

Sampling alone is the app's collection, including its requests to env runners, the transfer of fragments and match
records. An iteration of training is a call of `train()`, including freezing and publishing too.
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

# Fact of a contestant -> the app's metric that reports it.
FACTS = {
    "parameters": "policies/parameters",
    "broadcast_bytes": "policies/broadcast_bytes",
    "rows_per_env_step": "learner/rows_per_env_step",
    "rows_per_update": "learner/batch_rows",
}


class Ours:
    """The app with some overrides; `pool`: begin with `pool` different snapshots and freeze no more."""

    def __init__(self, settings: Settings, overrides: tuple[str, ...] = (), pool: int = 0) -> None:
        # A pool stays as it is: no freezes.
        no_freezing = ("league/schedule=every", "league.schedule.agent_steps=1_000_000_000_000")
        self._opened = ExitStack()
        # Everything that is opened here is closed in reverse order: first the algorithm, then Ray, then the folder.
        directory = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="benchmark"))
        config = settings.config(*overrides, *(no_freezing if pool else ()), output_dir=directory)
        self._opened.enter_context(ray_session(config))
        self._algorithm: LeaguePPO = build(config).build_algo()
        self._opened.callback(self._algorithm.stop)
        publish_perturbed(self._algorithm, pool, settings.perturbation)

    def iterate(self, learn: bool) -> Steps:
        """Collect a batch, and with `learn` train on it."""
        algorithm = self._algorithm
        if learn:
            algorithm.train()
        else:
            algorithm._record(algorithm._sampler.collect())  # the first two steps of `training_step`
        return Steps(algorithm.stats.env_steps, algorithm.stats.rows)

    def facts(self) -> dict[str, float]:
        """Return sizes from the app's report of its last update."""
        return {fact: self._algorithm.report[metric] for fact, metric in FACTS.items()}

    def close(self) -> None:
        """Stop Ray and delete the run directory."""
        self._opened.close()


def publish_perturbed(algorithm: LeaguePPO, count: int, scale: float) -> None:
    """Add `count` copies of the learner to store and league, each with normal noise of standard deviation `scale`."""
    spec, rng = algorithm.spec, np.random.default_rng(0)
    for generation in range(count):
        weights = {
            name: (value + rng.normal(0.0, scale, value.shape)).astype(value.dtype)
            for name, value in algorithm.weights.read("main").items()
        }
        facts = {"player": f"{spec.main_learner}@{generation:04d}"}
        blob = encode_player(weights, spec.networks, spec.agents, spec.architecture, facts)
        algorithm.league.add_snapshot(spec.main_learner, algorithm.store.put(blob), 0, "perturbed for the benchmark")
