"""The env runner: B matches at once, as arrays, one forward pass per player.

RLlib's own multi-agent env runner keeps Python objects per agent and step, and tops out near 2,000 env steps/s on a
core. This one steps a batched environment, asks each network once per step for all rows that are to move, and answers
with one ready batch of columns per trained network, made by the algorithm's collector.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.core.columns import Columns
from ray.rllib.env import INPUT_ENV_SPACES
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.checkpoints import Checkpointable

from marl_app.envs.batched import BatchedEnv
from marl_app.moments import Moments
from marl_app.players.actions import to_space
from marl_app.players.central_state import CentralState
from marl_app.players.modules.actor_critic import ACTION_MASK, AGENT_ID, MEMORY, STATE
from marl_app.players.networks import module_id
from marl_app.rllib.sampling.acting import Policies, Seen
from marl_app.rllib.sampling.collector import Collector
from marl_app.rllib.sampling.fragments import Failure, Fragment, Request
from marl_app.rllib.sampling.guests import Guests
from marl_app.rllib.sampling.matchups import TRAINEE, Matchups
from marl_app.rllib.sampling.opponent_slots import numpy_weights
from marl_app.store.memory import private_bytes
from marl_app.store.prefetch import PrefetchingReader

Array = NDArray[Any]
Ints = NDArray[np.int64]


class MatchEnvRunner(EnvRunner, Checkpointable):
    """Plays `config.num_envs_per_env_runner` matches at once and collects for one trainee at a time.

    When it is another trainee's turn, the matches under way are broken off.
    Everything it needs to play comes with its configuration or with each `Request`. It holds the trainee and at most
    `runtime.opponent_slots` frozen opponents.
    """

    env: BatchedEnv
    _matchups: Matchups
    _collector: Collector

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        torch.set_num_threads(1)
        on_gpu = config.num_gpus_per_env_runner > 0 and torch.cuda.is_available()
        self._device = torch.device("cuda" if on_gpu else "cpu")
        self._needs_initial_reset = True
        self.make_env()
        self.make_module()

    def make_env(self) -> None:
        """(Re)create the environment; all matches start anew with the next request."""
        old, self.env = self.env, None
        if old is not None:
            old.close()
        spec = self.config.spec
        self.env = spec.make_env(self.config.num_envs_per_env_runner)
        self.networks = spec.networks
        self.steps = self.config.get_rollout_fragment_length(worker_index=self.worker_index)
        self.central = CentralState(self.env, spec.settings.algorithm.death_masking)
        self._network_of = np.empty(len(self.env.agents), np.int64)
        self._place_in_group = np.empty(len(self.env.agents), np.int64)
        for index, network in enumerate(self.networks):
            self._network_of[list(network.agents)] = index
        for group in self.env.groups:
            self._place_in_group[list(group.agents)] = np.arange(len(group.agents))
        self._needs_initial_reset = True
        self._env_failed = False

    def make_module(self) -> None:
        """Build the trainee's networks and the opponents' slots."""
        spec, runtime = self.config.spec, self.config.spec.settings.runtime
        matches, sides = self.env.num_matches, len(self.env.sides)
        self._guests = Guests(spec.make_env, matches, sides, self.networks, spec.agents, spec.architecture)
        reader = spec.cache.reader(spec.store)
        if runtime.prefetch:
            reader = PrefetchingReader(reader)
        self._policies = Policies(
            spec.main_learner, self.networks, spec.architecture, runtime.opponent_slots, reader, self._device,
            self._guests,
        )  # fmt: skip
        self.module = self._policies.module

    def sample(self, *, request: Request | None = None, **kwargs: Any) -> Fragment | Failure:
        """Collect one fragment of `config.get_rollout_fragment_length()` steps of every match.

        An exception becomes a `Failure` with its traceback (raised, it would end this process and RLlib would only
        note that an actor is gone). The environment is then made anew for the next fragment; that may raise as well.
        """
        try:
            if self._env_failed:
                self.make_env()
            with torch.inference_mode():
                return self._collect(request)
        except Exception:
            self._env_failed = True
            return Failure(traceback.format_exc())

    def _collect(self, request: Request) -> Fragment:
        began = time.perf_counter()
        self._policies.seconds = self._env_seconds = 0.0
        torch.manual_seed(request.seed % 2**63)
        rng = self._guests.rng = np.random.default_rng(request.seed)
        weights = request.weights
        self._policies.load(ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights)
        self._policies.opponents.refresh(request.learner_opponents)
        if self._needs_initial_reset or request.learner != self._learner:
            self._start_all(request, rng)
        else:
            self._matchups.assign(request.assignment)
        opponents = self._policies.opponents
        opponents.prepare([*self._matchups.waiting(), *request.prefetch_digests])
        self._ended_matches, self._ended_steps, self._ended_returns = 0, 0, 0.0
        self._reward_scale, self._moments = request.reward_scale, Moments()
        for _ in range(self.steps):
            self._step(rng)
        batches, rows = self._collector.pop_batches()
        outcomes, reasons = self._matchups.take_outcomes()
        return Fragment(
            learner=request.learner,
            weights_version=request.weights_version,
            batches=batches,
            rows=rows,
            env_steps=self.steps * self.env.num_matches,
            outcomes=outcomes,
            reasons=reasons,
            matches=self._ended_matches,
            match_steps=self._ended_steps,
            returns=self._ended_returns,
            reward_moments=self._moments,
            seconds=time.perf_counter() - began,
            forward_seconds=self._policies.seconds,
            env_seconds=self._env_seconds,
            traffic=opponents.take_traffic(),
            slot_bytes=opponents.held_bytes,
            private_bytes=private_bytes(),
            runner=request.runner,
            rack=opponents.rack,
            resident_digests=opponents.held,
        )

    def _start_all(self, request: Request, rng: np.random.Generator) -> None:
        env, self._learner = self.env, request.learner
        env.reset(rng)
        self._matchups = Matchups(env, self._policies.opponents)
        self._matchups.assign(request.assignment)
        self._start(np.arange(env.num_matches), rng)
        seats = (env.num_matches, len(env.agents))
        self._collector = self.config.collector_class(self)
        self._memory = [
            torch.zeros(*seats, module.memory_size, device=self._device) if module.memory_size else None
            for module in self._policies.modules.values()
        ]
        self.finished = np.zeros(seats, np.bool_)
        self._returns = np.zeros(seats, np.float32)
        self._discounted = np.zeros(seats, np.float32)
        self._needs_initial_reset = False

    def _start(self, matches: Ints, rng: np.random.Generator) -> None:
        self._matchups.start(matches, rng)
        self._guests.start(matches, self._matchups.slots[matches])

    def _step(self, rng: np.random.Generator) -> None:
        env = self.env
        actions = [
            np.zeros((env.num_matches, len(group.agents), *group.action_space.shape), group.action_space.dtype)
            for group in env.groups
        ]
        moves = []
        matches, agents = env.acting().nonzero()
        for index, network in enumerate(self.networks):
            if len(self.networks) == 1:
                rows: Any = slice(None)
            else:
                rows = np.flatnonzero(self._network_of[agents] == index)
            chosen = self._decide(index, matches[rows], agents[rows])
            actions[network.group][matches[rows], self._place_in_group[agents[rows]]] = chosen
            moves.append((matches[rows], agents[rows], chosen))
        if self._guests.follow_moves:
            for made in moves:
                self._guests.follow(*made)
        began = time.perf_counter()
        step = env.step(actions, rng)
        self._env_seconds += time.perf_counter() - began
        self._matchups.lengths += 1
        self._returns += step.rewards
        self.finished |= step.finished
        self._collector.add_step(step, self._scaled(step.rewards))
        ended = np.flatnonzero(step.terminated | step.truncated)
        if len(ended):
            self._end(ended, rng)

    def _scaled(self, rewards: Array) -> Array:
        """Rewards as they are trained on; notes the discounted returns, from which their scale is estimated."""
        if not self.config.settings.normalize_rewards:
            return rewards
        self._discounted = self._discounted * self.config.gamma + rewards
        self._moments.update(self._discounted)
        return rewards * np.float32(self._reward_scale)

    def observe(self, index: int, matches: Ints, agents: Ints) -> tuple[dict[str, Array], Seen]:
        """What a network sees of matches, for agents, but for legal actions: as columns and as tensors."""
        network, memory = self.networks[index], self._memory[index]
        columns = {Columns.OBS: self.env.observe(matches, agents)}
        if network.num_agents:
            columns[AGENT_ID] = agents
        if network.state_size:
            columns[STATE] = self.central.of(matches, agents, self.finished)
        seen = {name: torch.from_numpy(values).to(self._device) for name, values in columns.items()}
        remembered = None if memory is None else memory[matches, agents]
        if remembered is not None:
            columns[MEMORY] = remembered.cpu().numpy()
        return columns, Seen(seen[Columns.OBS], None, seen.get(AGENT_ID), remembered, seen.get(STATE))

    def _decide(self, index: int, matches: Ints, agents: Ints) -> Array:
        """Actions [R, ...], as the environment takes them, of the agents of one network that must act."""
        network = self.networks[index]
        if not len(matches):
            return np.zeros((0, *network.action_space.shape), network.action_space.dtype)
        began = time.perf_counter()
        columns, seen = self.observe(index, matches, agents)
        mask = self.env.action_mask(matches, agents)
        self._env_seconds += time.perf_counter() - began
        if mask is not None:
            columns[ACTION_MASK] = mask
            seen = replace(seen, mask=torch.from_numpy(mask).to(self._device))
        players = self._matchups.players(matches, agents)
        opening = self._matchups.opening(matches)
        decision, memory = self._policies.decide(network, seen, players, opening, matches, agents)
        if memory is not None:
            self._memory[index][matches, agents] = memory
        columns |= {
            Columns.ACTIONS: decision.actions,
            Columns.ACTION_LOGP: decision.logp,
            Columns.ACTION_DIST_INPUTS: decision.inputs,
            Columns.VF_PREDS: decision.values,
        }
        learned = (players == TRAINEE) & ~opening
        if not learned.all():
            matches, agents = matches[learned], agents[learned]
            columns = {name: values[learned] for name, values in columns.items()}
        self._collector.add_decisions(index, matches, agents, columns)
        return to_space(decision.actions, network.action_space)

    def values(self, index: int, matches: Ints, agents: Ints) -> NDArray[np.float32]:
        """The trainee's critic of one network, of what it sees now: float32 [R]."""
        _, seen = self.observe(index, matches, agents)
        return self._policies.values(self.networks[index], seen)

    def _end(self, ended: Ints, rng: np.random.Generator) -> None:
        """Count matches that have ended and start new ones in their place."""
        self._ended_matches += len(ended)
        self._ended_steps += int(self._matchups.lengths[ended].sum())
        ours = self._matchups.players(
            ended.repeat(len(self.env.agents)), np.tile(np.arange(len(self.env.agents)), len(ended))
        )
        mine = (ours == TRAINEE).reshape(len(ended), -1)
        self._ended_returns += float(((self._returns[ended] * mine).sum(axis=1) / mine.sum(axis=1)).sum())
        self._returns[ended] = self._discounted[ended] = 0.0
        self.finished[ended] = False
        for memory in self._memory:
            if memory is not None:
                memory[ended] = 0.0
        self._matchups.end(ended, self.env.scores(ended))
        self.env.reset(rng, ended)
        self._start(ended, rng)

    # What else RLlib asks of an env runner.

    def assert_healthy(self) -> None:
        """RLlib's check after construction."""
        assert self.env is not None and self.module is not None

    def get_spaces(self) -> dict[str, tuple[gym.Space, gym.Space]]:
        """(observation space, action space) per module id, from which RLlib builds its learner's modules."""
        per_module = {
            module_id(learner, network.name, self.networks): (network.observation_space, network.action_space)
            for learner in self.config.spec.learner_shares
            for network in self.networks
        }
        first = next(iter(per_module.values()))
        return {INPUT_ENV_SPACES: first, **per_module}

    def get_metrics(self) -> Any:
        """Metrics logged here by callbacks; a fragment's own figures travel with it."""
        return self.metrics.reduce()

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """The trainee's weights; there is no other state that outlasts a request."""
        return {COMPONENT_RL_MODULE: numpy_weights(self._policies.modules)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Accepts what RLlib pushes at build time and ignores it: weights come with each request."""

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """For RLlib's Checkpointable."""
        return (), {"config": self.config}

    def stop(self) -> None:
        """Close the environment."""
        if self.env is not None:
            self.env.close()
