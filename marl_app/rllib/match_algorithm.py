"""Training over fragments of matches: an RLlib Algorithm with a training step, a league and callbacks of its own.

What RLlib does well stays RLlib's: the learner group, env runner actors and their fault tolerance, callbacks, metrics.
What is ours: env runners that step whole batches of matches (`MatchEnvRunner`), and overlap of sampling and learning.
How fragments are learned from is the business of a subclass (`LeaguePPO`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.callbacks.utils import make_callback
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from marl_app import __version__
from marl_app.league.league import Freeze, League
from marl_app.league.players import Snapshot
from marl_app.league.standing import Standing
from marl_app.metrics.records import Records
from marl_app.rllib.config import MatchConfig
from marl_app.rllib.fragments import Fragment, Request
from marl_app.rllib.moments import Moments
from marl_app.rllib.networks import module_id
from marl_app.rllib.player import encode_player
from marl_app.rllib.report import report
from marl_app.rllib.sampling import Sampler
from marl_app.rllib.stats import Counters, IterationStats
from marl_app.store.provenance import publish
from marl_app.store.store import Store
from marl_app.store.traffic import Traffic

STANDING_EVERY_S = 5.0


class MatchAlgorithm(Algorithm):
    """Trains one learner of a league.

    `league` is the one value that the control plane lives in; `counters`, `stats` and `rng` are the run's totals, the
    last iteration's figures and the source of every random choice made in this process. While `mid_iteration` is True
    they do not agree with one another, nor with the learner's weights.
    """

    config: MatchConfig

    def setup(self, config: MatchConfig) -> None:
        """Build the league and RLlib's parts."""
        self.run_dir = Path(config.run_dir)
        self.league: League = config.make_league()
        self.store: Store = config.store
        self._caches = self.config.cache.start(config.store)
        self.traffic = Traffic()
        self.records = Records(self.run_dir)
        self.rng = np.random.default_rng(config.seed)
        self.counters = Counters()
        self.stats = IterationStats()
        self.reward_moments = Moments()
        self.mid_iteration = False
        self.report: dict[str, float] = {}
        self.anchors: dict[str, dict[str, float]] = {}
        self.exploitability: dict[str, float] = {}
        self.notes: list[str] = []
        self.checkpoint: Path | None = None
        self._standing = Standing({})
        self._stood: tuple[float, tuple[Snapshot, ...]] = (float("-inf"), ())
        super().setup(config)
        self._sampler = Sampler(
            self.env_runner_group,
            self._request,
            self._restore,
            config.no_progress_timeout_s,
            batch_steps=config.train_batch_size_per_learner,
            fragment_steps=config.get_rollout_fragment_length() * config.num_envs_per_env_runner,
        )
        self._weights_changed()
        self._clock = time.monotonic()

    def _setup_logdir(self) -> None:
        """RLlib's directory is the run's; it would make an empty one in ~/ray_results."""
        self._logdir = self.config.run_dir

    # Events.

    def fire(self, event: str, **kwargs: Any) -> None:
        """Call this event of every callback that has it."""
        listeners = [callback for callback in self.callbacks if hasattr(callback, event)]
        make_callback(event, listeners, kwargs={"algorithm": self, **kwargs})

    # The weights of the learner.

    def weights(self) -> dict[str, np.ndarray]:
        """The learner's weights now, under `network/parameter` (copies)."""
        state = self.learner_group.get_state(components=f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}")
        modules = state[COMPONENT_LEARNER][COMPONENT_RL_MODULE]
        networks = self.config.networks
        return {
            f"{network.name}/{name}": np.array(value)
            for network in networks
            for name, value in modules[module_id(self.config.learner, network.name, networks)].items()
        }

    def encode_learner(self, **facts: Any) -> bytes:
        """The learner as it is now, as a player (see `player.py`); `facts` join its metadata."""
        config = self.config
        facts = {
            "player": config.learner,
            "agent_steps": self.counters.trained_agent_steps,
            "env_steps": self.counters.env_steps,
            "app_version": __version__,
            **facts,
        }
        return encode_player(self.weights(), config.networks, config.agents, config.architecture, facts)

    def publish(self, decision: Freeze) -> Snapshot:
        """Freeze a learner: its weights into the store first, then its name into the league."""
        league = self.league
        earlier = league.view.of(decision.learner)
        player = league.next_snapshot(decision.learner)
        blob = self.encode_learner(player=player.id, parent=earlier[-1].digest if earlier else None)
        steps = self.counters.trained_agent_steps
        return league.add_snapshot(
            decision.learner, publish(self.store, blob, self.config.hparams), steps, decision.reason
        )

    def standing(self) -> Standing:
        """How the league stands, worked out anew at most every STANDING_EVERY_S seconds and after each freeze."""
        now, newest = time.monotonic(), self.league.snapshots[-1:]
        if now - self._stood[0] > STANDING_EVERY_S or self._stood[1] != newest:
            self._standing = Standing.of(self.league)
            self._stood = (time.monotonic(), newest)
        return self._standing

    @property
    def fresh_slots(self) -> int:
        """How many different snapshots a request may bring: all slots if the whole pool fits, else half of them.

        The other half then finish the matches that are under way.
        """
        slots = self.config.opponent_slots
        return slots if len(self.league.snapshots) <= slots else max(1, slots // 2)

    def _weights_changed(self) -> None:
        weights = self.weights()
        self.num_parameters = sum(value.size for value in weights.values())
        self.broadcast_bytes = sum(value.nbytes for value in weights.values())
        playing = self.playing_weights(weights)
        self._broadcast = ray.put(playing) if self.config.num_env_runners else playing

    def playing_weights(self, weights: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """What env runners play with, if it is not the learner's weights as they are."""
        return weights

    def figures(self) -> dict[str, float]:
        """What the algorithm adds to the report of an iteration."""
        return {}

    # One iteration.

    def training_step(self) -> None:
        """Collect a batch, learn from it."""
        self.mid_iteration = True
        began = time.perf_counter()
        fragments = self._collect()
        self.stats.wait_seconds = time.perf_counter() - began
        for fragment in fragments:
            self.fire("on_fragment", fragment=fragment)
        if self.config.pipeline:
            self._sampler.request()
        learning = time.perf_counter()
        self._learn(fragments)
        self._weights_changed()
        self.stats.learn_seconds = time.perf_counter() - learning

    def log_result(self, result: dict[str, Any]) -> None:
        """Close the iteration's books; then RLlib calls `on_train_result`."""
        now = time.monotonic()
        self.stats.seconds, self._clock = now - self._clock, now
        self.counters.seconds += self.stats.seconds
        self.report = report(self, result) | self.figures()
        self.mid_iteration = False
        super().log_result(result)

    def share_done(self) -> tuple[float | None, float]:
        """How much of the run is done, by the limit that comes first (None without one), and the seconds it took."""
        stop, counters = self.config.stop, self.counters
        limits = (
            (stop.env_steps, counters.env_steps),
            (stop.minutes, counters.seconds / 60),
            (stop.iterations, self.iteration),
        )
        shares = [reached / limit for limit, reached in limits if limit is not None]
        return (min(1.0, max(shares)) if shares else None), counters.seconds

    def _request(self) -> Request:
        request = Request(
            learner=self.config.learner,
            weights=self._broadcast,
            weights_version=self.counters.updates,
            seed=int(self.rng.integers(2**63)),
            reward_scale=self.reward_moments.scale,
        )
        self.fire("on_sample_request", request=request)
        if request.assignment is None:
            raise ValueError("no callback filled in request.assignment; add `league` to callbacks")
        return request

    def _collect(self) -> list[Fragment]:
        """Fragments with at least `train_batch_size_per_learner` env steps; counts them."""
        fragments = self._sampler.collect()
        self.stats = IterationStats.of(fragments, self.counters.updates)
        self.counters.env_steps += self.stats.env_steps
        self.counters.trained_agent_steps += self.stats.rows
        self.counters.matches += self.stats.matches
        self.traffic.add(self.stats.traffic)
        for fragment in fragments:
            self.reward_moments.merge(fragment.reward_moments)
        self.counters.failures += self._sampler.failures
        self._sampler.failures = 0
        return fragments

    def _learn(self, fragments: list[Fragment]) -> None:
        """Learn from a batch of experience."""
        raise NotImplementedError

    # Faults.

    def restore_env_runners(self, env_runner_group: EnvRunnerGroup) -> list[int]:
        """Env runners that are back after a crash. They need no state: the next request brings it all."""
        if not self.config.num_env_runners:
            return []
        restored = env_runner_group.probe_unhealthy_env_runners()
        self.counters.restarts += len(restored)
        return restored

    def _restore(self) -> None:
        """As RLlib does before each iteration, but in the middle of one."""
        restored = self.restore_env_runners(self.env_runner_group)
        if restored:
            self._make_on_env_runners_recreated_callbacks(
                config=self.config, env_runner_group=self.env_runner_group, restored_env_runner_indices=restored
            )

    # What a checkpoint holds besides weights and optimizer.

    def progress_state(self) -> dict[str, Any]:
        """Counters, last evaluations, league and RNG as JSON types."""
        return {
            "iteration": self.iteration,
            "counters": asdict(self.counters),
            "reward_moments": asdict(self.reward_moments),
            "anchors": self.anchors,
            "exploitability": self.exploitability,
            "league": self.league.state_dict(),
            "rng": self.rng.bit_generator.state,
        }

    def load_progress_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `progress_state`."""
        self._iteration = state["iteration"]
        self.counters = Counters(**state["counters"])
        self.reward_moments = Moments(**state["reward_moments"])
        self.anchors = state["anchors"]
        self.exploitability = state.get("exploitability", {})  # older checkpoints do not know it
        self.league.load_state_dict(state["league"])
        self.rng.bit_generator.state = state["rng"]
        self._weights_changed()
