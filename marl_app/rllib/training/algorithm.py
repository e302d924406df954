"""Training over fragments of matches: an RLlib Algorithm with a training step, a league and callbacks of its own.

What RLlib does well stays RLlib's: the learner group, env runner actors and their fault tolerance, callbacks, metrics.
What is ours: env runners that step whole batches of matches (`MatchEnvRunner`), and overlap of sampling and learning.
How fragments are learned from is the business of a subclass (`LeaguePPO`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
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
from marl_app.league.alarms import Reading
from marl_app.league.assignment import Assignment
from marl_app.league.league import INITIAL, Freeze, League
from marl_app.league.players import Snapshot
from marl_app.league.reset import RESET_PROBABILITY
from marl_app.league.standing import Standing
from marl_app.metrics.records import Records
from marl_app.players.agent import player_of
from marl_app.players.encoding import encode_player
from marl_app.players.networks import module_id
from marl_app.players.policy import Follower, Policy
from marl_app.rllib.sampling.fragments import Fragment, Request
from marl_app.rllib.sampling.moments import Moments
from marl_app.rllib.training.assignments import Dealing, Dealt
from marl_app.rllib.training.config import MatchConfig
from marl_app.rllib.training.report import report
from marl_app.rllib.training.sampler import Sampler
from marl_app.rllib.training.stats import Counters, IterationStats, Trainee
from marl_app.rllib.training.turns import Turns
from marl_app.store.codec import decode
from marl_app.store.provenance import publish
from marl_app.store.reader import FETCH_ERRORS, DirectReader
from marl_app.store.store import Store
from marl_app.store.traffic import Traffic

STANDING_EVERY_S = 5.0


class MatchAlgorithm(Algorithm):
    """Trains the learners of a league, in turns.

    `league` is the one value that the control plane lives in; `counters`, `trainees`, `stats` and `rng` are the run's
    totals, those of each learner, the last iteration's figures and the source of every random choice made in this
    process. While `mid_iteration` is True they do not agree with one another, nor with the learners' weights.
    """

    config: MatchConfig

    def setup(self, config: MatchConfig) -> None:
        """Build the league and RLlib's parts."""
        self.run_dir = Path(config.run_dir)
        self.league: League = config.make_league()
        self.league.invite(config.guests)
        self.store: Store = config.store
        self._reader = DirectReader(config.store)
        self._caches = self.config.cache.start(config.store)
        self.traffic = Traffic()
        self.dealt = Dealt()
        self._dealing = Dealing(self.league, self.config.cache.inventory(), config.placement_tolerance, config.prefetch)
        self.records = Records(self.run_dir)
        self.rng = np.random.default_rng(config.seed)
        self.counters = Counters()
        self.stats = IterationStats()
        self.trainees = {learner: Trainee() for learner in config.trainees}
        self.turns = Turns(config.trainees, config.turn)
        self.mid_iteration = False
        self.report: dict[str, float] = {}
        self.anchors: dict[str, dict[str, float]] = {}
        self.exploitability: dict[str, float] = {}
        self.readings: list[Reading] = []  # of the league over time, oldest first
        self.notes: list[str] = []
        self.waiting: set[str] = set()  # see `postponed`
        self.checkpoint: Path | None = None
        self._standing = Standing({})
        self._stood: tuple[float, tuple[Snapshot, ...]] = (float("-inf"), ())
        super().setup(config)
        self._sampler = Sampler(
            self.env_runner_group,
            self._request,
            self._restore,
            config.no_progress_timeout_s,
            batch_steps=config.total_train_batch_size,
            fragment_steps=config.get_rollout_fragment_length() * config.num_envs_per_env_runner,
        )
        self._broadcast: dict[str, Any] = {}
        for learner, trainee in self.trainees.items():
            self._weights_changed(learner)
            if self.league.learners[learner].role in RESET_PROBABILITY:
                trainee.initial = self._publish(self.encode_learner(learner))
        self._clock = time.monotonic()

    def _setup_logdir(self) -> None:
        """RLlib's directory is the run's; it would make an empty one in ~/ray_results."""
        self._logdir = self.config.run_dir

    # Events.

    def fire(self, event: str, **kwargs: Any) -> None:
        """Call this event of every callback that has it."""
        listeners = [callback for callback in self.callbacks if hasattr(callback, event)]
        make_callback(event, listeners, kwargs={"algorithm": self, **kwargs})

    # The weights of the learners.

    def weights(self, learner: str | None = None) -> dict[str, np.ndarray]:
        """A learner's weights now (None: the first one's), under `network/parameter` (copies)."""
        networks = self.config.networks
        ids = {network.name: module_id(learner or self.config.learner, network.name, networks) for network in networks}
        state = self.learner_group.get_state(
            components=[f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}/{id}" for id in ids.values()]
        )
        modules = state[COMPONENT_LEARNER][COMPONENT_RL_MODULE]
        return {f"{name}/{key}": np.array(value) for name, id in ids.items() for key, value in modules[id].items()}

    def set_weights(self, learner: str, weights: Mapping[str, np.ndarray]) -> None:
        """Give a learner these weights, under `network/parameter`."""
        modules: dict[str, dict[str, np.ndarray]] = {}
        for name, value in weights.items():
            network, _, parameter = name.partition("/")
            modules.setdefault(module_id(learner, network, self.config.networks), {})[parameter] = value
        # Without a sequence number the weights are taken as they are, not compared with those that are there.
        self.learner_group.set_state({COMPONENT_LEARNER: {COMPONENT_RL_MODULE: modules}})

    def encode_learner(self, learner: str | None = None, **facts: Any) -> bytes:
        """A learner as it is now (None: the first one), as a player (see `player.py`); `facts` join its metadata."""
        config, learner = self.config, learner or self.config.learner
        facts = {
            "player": learner,
            "agent_steps": self.trainees[learner].agent_steps,
            "env_steps": self.counters.env_steps,
            "app_version": __version__,
            "side": self.league.learners[learner].side,
            **facts,
        }
        return encode_player(self.weights(learner), config.networks, config.agents, config.architecture, facts)

    def snapshot(self, digest: str) -> bytes | None:
        """What the store has under this digest; None if that cannot be had now, as the log says."""
        try:
            return bytes(self._reader.get(digest))
        except FETCH_ERRORS:
            return None

    def player(self, digest: str) -> Policy | Follower | None:
        """Whom the store has under this digest, ready to play; None as `snapshot`."""
        data = self.snapshot(digest)
        if data is None:
            return None
        with closing(self.config.make_env(1)) as env:
            return player_of(data, env)

    def freeze(self, decision: Freeze) -> Snapshot:
        """Freeze a learner: its weights into the store first, then its name into the league."""
        league, learner = self.league, decision.learner
        player = league.next_snapshot(learner)
        digest = self._publish(self.encode_learner(learner, player=player.id, parent=league.careers[learner].origin))
        return league.add_snapshot(learner, digest, self.trainees[learner].agent_steps, decision.reason)

    def _publish(self, blob: bytes) -> str:
        return publish(self.store, blob, self.config.hparams)

    def reset_learner(self, learner: str, to: str) -> None:
        """Start a learner again: the weights of `to`, and nothing that was learned beside them.

        If these cannot be had now, the learner goes on as it is.
        """
        digests = {snapshot.player.id: snapshot.digest for snapshot in self.league.snapshots}
        data = self.snapshot(self.trainees[learner].initial if to == INITIAL else digests[to])
        if data is None:
            self.fire("on_message", text=f"{learner} goes on as it is: the weights of {to} cannot be had")
            return
        self.set_weights(learner, decode(data)[0])
        ids = [module_id(learner, network.name, self.config.networks) for network in self.config.networks]
        self.learner_group.foreach_learner(_forget, module_ids=ids)
        self.trainees[learner].reward_moments = Moments()
        self.league.reset(learner, to)
        self._weights_changed(learner)
        self.fire("on_message", text=f"{learner} starts again from {to}")

    @property
    def needed(self) -> set[str]:
        """The digests of all that the run may still read: the pool, and the weights that learners began with."""
        initial = {trainee.initial for trainee in self.trainees.values() if trainee.initial}
        return initial.union(snapshot.digest for snapshot in self.league.snapshots)

    def standing(self) -> Standing:
        """How the league stands, worked out anew at most every STANDING_EVERY_S seconds and after each freeze."""
        now, newest = time.monotonic(), self.league.snapshots[-1:]
        if now - self._stood[0] > STANDING_EVERY_S or self._stood[1] != newest:
            self._standing = Standing.from_league(self.league)
            self._stood = (time.monotonic(), newest)
        return self._standing

    @property
    def fresh_slots(self) -> int:
        """How many different snapshots a request may bring: all slots if the whole pool fits, else half of them.

        The other half then finish the matches that are under way.
        """
        slots, others = self.config.opponent_slots, len(self.league.snapshots) + len(self.trainees) - 1
        return slots if others <= slots else max(1, slots // 2)

    def _weights_changed(self, learner: str) -> None:
        weights = self.weights(learner)
        self.num_parameters = sum(value.size for value in weights.values())
        self.broadcast_bytes = sum(value.nbytes for value in weights.values())
        playing = self.playing_weights(weights)
        self._broadcast[learner] = ray.put(playing) if self.config.num_env_runners else playing

    def playing_weights(self, weights: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """What env runners play with, if it is not a learner's weights as they are."""
        return weights

    def figures(self) -> dict[str, float]:
        """What the algorithm adds to the report of an iteration."""
        return {}

    # One iteration.

    def training_step(self) -> None:
        """Collect a batch for the learner whose turn it is, and learn from it."""
        self.mid_iteration = True
        began = time.perf_counter()
        fragments = self._collect()
        self.stats.wait_seconds = time.perf_counter() - began
        for fragment in fragments:
            self.fire("on_fragment", fragment=fragment)
        if self.config.pipeline:
            self._sampler.request()
        learning = time.perf_counter()
        for learner, own in by_learner(fragments).items():
            self._learn(learner, own)
            self._weights_changed(learner)
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

    def assign(self, request: Request) -> Assignment:
        """Whom the league would have the learner of a request play, in the env runner that is asked."""
        return self._dealing.assign(request.learner, request.runner, self.fresh_slots, self.rng)

    def _request(self, runner: int) -> Request:
        learner = self.turns.current
        request = Request(
            learner=learner,
            weights=self._broadcast[learner],
            weights_version=self.trainees[learner].updates,
            seed=int(self.rng.integers(2**63)),
            reward_scale=self.trainees[learner].reward_moments.scale,
            runner=runner,
        )
        self.fire("on_sample_request", request=request)
        if request.assignment is None:
            raise ValueError("no callback filled in request.assignment; add `league` to callbacks")
        request.assignment, request.ahead = self._dealing.in_turn(runner, request.assignment)
        met = {opponent.player for opponent in request.assignment.opponents} - {learner}
        request.others = {player: self._broadcast[player] for player in met & self.trainees.keys()}
        return request

    def _collect(self) -> list[Fragment]:
        """Fragments with at least `total_train_batch_size` env steps; counts them.

        All are the learner's whose turn it is, but for what a slow env runner brings late.
        """
        fragments = self._sampler.collect()
        self.stats = IterationStats.of(fragments, {name: trainee.updates for name, trainee in self.trainees.items()})
        self.counters.env_steps += self.stats.env_steps
        self.counters.trained_agent_steps += self.stats.rows
        self.counters.matches += self.stats.matches
        self.traffic.accumulate(self.stats.traffic)
        self.stats.dealt = self._dealing.take()
        self.dealt.add(self.stats.dealt)
        self._dealing.heard(fragments)
        for fragment in fragments:
            self.trainees[fragment.learner].count(fragment)
            self.turns.advance(fragment.learner, fragment.env_steps)
        self.turns.end_iteration()
        self.counters.failures += self._sampler.failures
        self._sampler.failures = 0
        return fragments

    def _learn(self, learner: str, fragments: list[Fragment]) -> None:
        """Have a learner learn from its experience."""
        raise NotImplementedError

    # Faults.

    def restore_env_runners(self, env_runner_group: EnvRunnerGroup, timeout_s: float = 0.0) -> list[int]:
        """Env runners that are back after a crash. They need no state: the next request brings it all.

        Before an iteration nobody is waited for, unlike in RLlib: one that finds no room while a node is gone would
        cost each iteration two seconds.
        """
        restored = self._sampler.revived(timeout_s)
        self.counters.restarts += len(restored)
        return restored

    def _restore(self) -> None:
        """As RLlib does before each iteration, but in the middle of one."""
        restored = self.restore_env_runners(self.env_runner_group, timeout_s=1.0)
        if restored:
            self._make_on_env_runners_recreated_callbacks(
                config=self.config, env_runner_group=self.env_runner_group, restored_env_runner_indices=restored
            )

    # What a checkpoint holds besides weights and optimizer.

    def progress_state(self) -> dict[str, Any]:
        """Counters, last evaluations, readings, league and RNG as JSON types."""
        return {
            "iteration": self.iteration,
            "counters": asdict(self.counters),
            "trainees": {learner: asdict(trainee) for learner, trainee in self.trainees.items()},
            "turns": self.turns.state(),
            "anchors": self.anchors,
            "exploitability": self.exploitability,
            "readings": [asdict(reading) for reading in self.readings],
            "league": self.league.state_dict(),
            "rng": self.rng.bit_generator.state,
        }

    def load_progress_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `progress_state`."""
        self._iteration = state["iteration"]
        self.counters = Counters(**state["counters"])
        for learner, fields in state["trainees"].items():
            if learner in self.trainees:
                self.trainees[learner] = Trainee.load(fields)
        self.turns = Turns(self.config.trainees, self.config.turn, **state["turns"])
        self.anchors = state["anchors"]
        self.exploitability = state.get("exploitability", {})  # older checkpoints do not know it, nor readings
        self.readings = [Reading(**reading) for reading in state.get("readings", [])]
        self.league.load_state_dict(state["league"])
        self.league.invite(self.config.guests)
        self.rng.bit_generator.state = state["rng"]
        for learner in self.trainees:
            self._weights_changed(learner)


def by_learner(fragments: list[Fragment]) -> dict[str, list[Fragment]]:
    """The fragments of each learner."""
    own: dict[str, list[Fragment]] = {}
    for fragment in fragments:
        own.setdefault(fragment.learner, []).append(fragment)
    return own


def _forget(learner: Any, *, module_ids: list[str], **kwargs: Any) -> None:
    learner.forget(module_ids)
