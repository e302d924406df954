"""The env runner: steps B matches together as arrays, and returns fragments of experience.

RLlib's own multi-agent env runner makes Python objects per agent and step, and tops out near 2,000 env steps/s on a
core. This env runner steps a batched environment, runs each network once per step for all rows that act, and returns
one batch of columns per trained network, made by the algorithm's collector.

Shapes: B matches, R rows (one row per agent that acts in a step), K ended matches.
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
from torch import Tensor

from marl_app.envs.batched import BatchedEnv
from marl_app.moments import Moments
from marl_app.players.actions import to_space
from marl_app.players.central_state import CentralState
from marl_app.players.modules.actor_critic import ACTION_MASK, AGENT_ID, MEMORY, STATE
from marl_app.players.networks import Network, module_id
from marl_app.rllib.run_spec import RunSpec
from marl_app.rllib.sampling.acting import Observed, PlayerNetworks
from marl_app.rllib.sampling.collector import Collector
from marl_app.rllib.sampling.drawn_views import DrawnViews
from marl_app.rllib.sampling.fragments import Failure, Fragment, Request
from marl_app.rllib.sampling.guests import Guests
from marl_app.rllib.sampling.matchups import TRAINEE, Matchups
from marl_app.rllib.sampling.number_checks import check_observations, check_rewards, check_scores
from marl_app.rllib.sampling.opponent_slots import weights_to_numpy
from marl_app.store.memory import private_bytes
from marl_app.store.prefetch import PrefetchingReader

Array = NDArray[Any]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class MatchEnvRunner(EnvRunner, Checkpointable):
    """RLlib env runner that plays `config.num_envs_per_env_runner` matches together, for one trainee at a time.

    All that it needs to play comes with its configuration or with each `Request`. It holds the networks of the trainee
    and of at most `runtime.opponent_slots` frozen opponents. Unfinished matches continue in the next fragment; a
    request for another trainee abandons them and starts new ones.
    """

    # Set by `make_env`.
    env: BatchedEnv
    networks: tuple[Network, ...]
    steps: int
    central_state: CentralState
    _views: DrawnViews | None  # with algorithm.symmetries=random
    _network_of_agent: Ints  # [agents]: index of the agent's network
    _index_in_group: Ints  # [agents]: position of the agent in its group

    # Set by `_start_all_matches`.
    finished: Bools  # [B, agents]: the agent's episode has ended within its running match, and no new one has begun
    _acting: Bools  # [B, agents]: must act in the next step
    _learner: str
    _matchups: Matchups
    _collector: Collector
    _memory: list[Tensor | None]  # per network: [B, agents, memory size], zeros at the start of a match
    _returns: NDArray[np.float32]  # [B, agents]: sum of rewards in the running match
    _discounted: NDArray[np.float32]  # [B, agents]: discounted sum of past rewards, from which rewards are scaled

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        torch.set_num_threads(1)
        on_gpu = config.num_gpus_per_env_runner > 0 and torch.cuda.is_available()
        self._device = torch.device("cuda" if on_gpu else "cpu")
        self._open_env: BatchedEnv | None = None  # the environment to close
        self._env_failed = False
        self._needs_initial_reset = True
        # Totals of the current fragment.
        self._env_seconds = 0.0
        self._ended_matches, self._ended_steps, self._ended_returns = 0, 0, 0.0
        self._reward_scale, self._moments = 1.0, Moments()
        self.make_env()
        self.make_module()

    def make_env(self) -> None:
        """(Re)create the environment; all matches start again with the next request."""
        old_env, self._open_env = self._open_env, None
        if old_env is not None:
            old_env.close()
        spec = self.config.spec
        self.env = self._open_env = spec.make_env(self.config.num_envs_per_env_runner)
        self.networks = spec.networks
        self.steps = self.config.get_rollout_fragment_length(worker_index=self.worker_index)
        self.central_state = CentralState(
            self.env, spec.settings.algorithm.death_masking, spec.architecture.scale_observations
        )
        self._views = DrawnViews(self.env) if spec.settings.algorithm.symmetries == "random" else None
        # Index arrays by agent, [agents]: they turn agents of rows into networks, and into places in a group's actions.
        self._network_of_agent = np.empty(len(self.env.agents), np.int64)
        self._index_in_group = np.empty(len(self.env.agents), np.int64)
        for index, network in enumerate(self.networks):
            self._network_of_agent[list(network.agents)] = index
        for group in self.env.groups:
            self._index_in_group[list(group.agents)] = np.arange(len(group.agents))
        self._needs_initial_reset = True
        self._env_failed = False

    def make_module(self) -> None:
        """Build the trainee's networks and the opponent slots."""
        spec, runtime = self.config.spec, self.config.spec.settings.runtime
        matches, sides = self.env.num_matches, len(self.env.sides)
        self._guests = Guests(spec.make_env, matches, sides, self.networks, spec.agents, spec.architecture)
        reader = spec.cache.reader(spec.store)
        if runtime.prefetch:
            reader = PrefetchingReader(reader)
        self._player_networks = PlayerNetworks(
            spec.main_learner, self.networks, spec.architecture, runtime.opponent_slots, reader, self._device,
            self._guests,
        )  # fmt: skip
        self.module = self._player_networks.module

    def sample(self, *, request: Request, **kwargs: Any) -> Fragment | Failure:
        """Collect one fragment: `config.get_rollout_fragment_length()` steps of every match.

        An exception is returned as a `Failure` with its traceback (raised, it would end this process, and RLlib would
        only report that an actor has died). The environment is then made again for the next fragment, which may fail
        as well.
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
        """Play `steps` steps of all matches for the request's learner, and return the fragment."""
        # 1. Seed all random numbers of the fragment and reset its totals.
        began = time.perf_counter()
        self._player_networks.seconds = self._env_seconds = 0.0
        self._ended_matches, self._ended_steps, self._ended_returns = 0, 0, 0.0
        self._reward_scale, self._moments = request.reward_scale, Moments()
        torch.manual_seed(request.seed % 2**63)
        rng = self._guests.rng = np.random.default_rng(request.seed)

        # 2. Copy the current weights of the trainee, and of opponents that are learners.
        opponents = self._player_networks.opponents
        weights = ray.get(request.weights) if isinstance(request.weights, ray.ObjectRef) else request.weights
        assert weights is not None  # a learner that plays has put its own in
        self._player_networks.set_trainee_weights({**weights, **request.exploration})
        opponents.set_learner_weights(request.learner_opponents)

        # 3. Set the opponents of matches that start from now on; running matches keep theirs.
        if self._needs_initial_reset or request.learner != self._learner:
            self._start_all_matches(request, rng)
        else:
            self._matchups.set_assignment(request.assignment, rng)
        opponents.prefetch([*self._matchups.missing_digests(), *request.prefetch_digests])

        # 4. Play.
        for _ in range(self.steps):
            self._step(rng)

        # 5. Take the training columns, and the results of the matches that ended.
        played, rows = self._collector.pop_batches()
        remote = bool(self.worker_index)  # a process of its own; RLlib numbers those from 1
        batches = ray.put(played) if remote and self.config.batches_by_reference else played
        outcomes, reasons = self._matchups.pop_outcomes()
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
            forward_seconds=self._player_networks.seconds,
            env_seconds=self._env_seconds,
            traffic=opponents.pop_traffic(),
            slot_bytes=opponents.weight_bytes,
            private_bytes=private_bytes(),
            runner=request.runner,
            rack=opponents.rack,
            node=ray.get_runtime_context().get_node_id() if remote else "",
            resident_digests=opponents.resident_digests,
        )

    def _start_all_matches(self, request: Request, rng: np.random.Generator) -> None:
        """Abandon all matches and start B new ones for the learner of the request."""
        env, self._learner = self.env, request.learner
        env.reset(rng)
        self._matchups = Matchups(env, self._player_networks.opponents)
        self._matchups.set_assignment(request.assignment, rng)
        self._start_matches(np.arange(env.num_matches), rng)
        shape = (env.num_matches, len(env.agents))
        # What belongs to running matches begins empty: rows, memories, returns.
        self._collector = self.config.collector_class(self)
        self._memory = [
            torch.zeros(*shape, module.memory_size, device=self._device) if module.memory_size else None
            for module in self._player_networks.modules.values()
        ]
        self._acting = env.acting()
        self.finished = np.zeros(shape, np.bool_)
        self._returns = np.zeros(shape, np.float32)
        self._discounted = np.zeros(shape, np.float32)
        self._needs_initial_reset = False

    def _start_matches(self, matches: Ints, rng: np.random.Generator) -> None:
        """Assign opponents to matches [K] that begin, notify the guests among them, and draw the trainee's views."""
        self._matchups.start_matches(matches, rng)
        if self._views is not None:
            self._views.draw(matches, self._matchups.is_trainee(matches), rng)
        self._guests.start_matches(matches, self._matchups.slots[matches])

    def _step(self, rng: np.random.Generator) -> None:
        """Choose actions for all agents that act, step the environment, and replace matches that ended."""
        env = self.env
        # One array [B, agents of the group, *action shape] per group; entries of agents that do not act stay 0.
        actions = [
            np.zeros((env.num_matches, len(group.agents), *(group.action_space.shape or ())), group.action_space.dtype)
            for group in env.groups
        ]
        moves = []  # per network: (matches [R], agents [R], actions [R, ...])
        matches, agents = self._acting.nonzero()  # [rows of all networks]
        for index, network in enumerate(self.networks):
            if len(self.networks) == 1:
                rows: Any = slice(None)  # all rows, without copying them
            else:
                rows = np.flatnonzero(self._network_of_agent[agents] == index)
            chosen = self._decide(index, matches[rows], agents[rows])
            actions[network.group][matches[rows], self._index_in_group[agents[rows]]] = chosen
            moves.append((matches[rows], agents[rows], chosen))
        if self._guests.has_followers:
            for move in moves:
                self._guests.follow_moves(*move)
        began = time.perf_counter()
        step = env.step(actions, rng)
        self._env_seconds += time.perf_counter() - began
        check_rewards(env, step.rewards, self._matchups.lengths)
        self._matchups.lengths += 1
        self._returns += step.rewards
        self.finished |= step.terminated
        # The collector reads the last observations of truncated agents: before these count as finished, and before
        # their matches are reset.
        self._collector.add_step(step, self._scale_rewards(step.rewards))
        self.finished |= step.truncated
        ended = np.flatnonzero(step.over)
        if len(ended):
            self._end_matches(ended, rng)
        self._acting = env.acting()
        self.finished &= ~self._acting  # agents that come back within their match

    def _scale_rewards(self, rewards: Array) -> Array:
        """Return rewards [B, agents] scaled for training, and update the moments that the scale is estimated from.

        As Gym's NormalizeReward: divided by the standard deviation of the discounted sum of past rewards.
        """
        if not self.config.settings.normalize_rewards:
            return rewards
        # [B, agents]: sum of past rewards, the newest with weight 1.
        self._discounted = self._discounted * self.config.gamma + rewards
        self._moments.update(self._discounted)
        scaled: Array = rewards * np.float32(self._reward_scale)
        return scaled

    def observe(self, index: int, matches: Ints, agents: Ints) -> tuple[dict[str, Array], Observed]:
        """Return the inputs [R, ...] of network `index` for agents [R] of matches [R], without action masks.

        As columns of a training batch, and as tensors on the device of the networks.
        """
        network, memory = self.networks[index], self._memory[index]
        # 1. What the environment shows, in the agents' views.
        columns = {Columns.OBS: self.env.observe(matches, agents)}
        check_observations(self.env, columns[Columns.OBS], matches, agents, self._matchups.lengths)
        if self._views is not None:
            columns[Columns.OBS] = self._views.observations(network.group, columns[Columns.OBS], matches, agents)
        # 2. What else the network takes: agent ids, the global state for its critic.
        if network.num_agents:
            columns[AGENT_ID] = agents
        if network.state_size:
            columns[STATE] = self.central_state.states_for(matches, agents, self.finished)
        # 3. Tensors for the forward pass. Memories are tensors already, and also become a column.
        tensors = {name: torch.from_numpy(values).to(self._device) for name, values in columns.items()}
        row_memory = None if memory is None else memory[matches, agents]  # [R, memory size], a copy
        if row_memory is not None:
            columns[MEMORY] = row_memory.cpu().numpy()
        observed = Observed(
            observations=tensors[Columns.OBS],
            agents=tensors.get(AGENT_ID),
            memory=row_memory,
            state=tensors.get(STATE),
        )
        return columns, observed

    def _decide(self, index: int, matches: Ints, agents: Ints) -> Array:
        """Return actions [R, ...] in the environment's units, for agents [R] of network `index` that act now.

        The trainee's decisions go to the collector.
        """
        network = self.networks[index]
        if not len(matches):
            return np.zeros((0, *(network.action_space.shape or ())), network.action_space.dtype)
        began = time.perf_counter()
        columns, observed = self.observe(index, matches, agents)
        mask = self.env.action_mask(matches, agents)  # bool [R, n], or None
        self._env_seconds += time.perf_counter() - began
        if mask is not None and self._views is not None:
            mask = self._views.masks(network.group, mask, matches, agents)
        if mask is not None:
            columns[ACTION_MASK] = mask
            observed = replace(observed, mask=torch.from_numpy(mask).to(self._device))
        # The decisions, each by the player of the agent's side; the memories of all agents move on.
        slots = self._matchups.deciding_slots(matches, agents)  # int64 [R]: an opponent slot, or TRAINEE
        opening = self._matchups.in_opening(matches)  # bool [R]: the action is random
        decision, new_memory = self._player_networks.decide(network, observed, slots, opening, matches, agents)
        memory = self._memory[index]
        if memory is not None:
            memory[matches, agents] = new_memory
        columns |= {
            Columns.ACTIONS: decision.actions,
            Columns.ACTION_LOGP: decision.logp,
            Columns.ACTION_DIST_INPUTS: decision.inputs,
            Columns.VF_PREDS: decision.values,
        }
        # The columns keep the actions in the agents' views, as the network chose them.
        actions = decision.actions
        if self._views is not None:
            actions = self._views.original_actions(network.group, actions, matches, agents)
        # [R] bool: True where the trainee decided, which are the rows to train on.
        trainee_rows = (slots == TRAINEE) & ~opening
        if not trainee_rows.all():
            matches, agents = matches[trainee_rows], agents[trainee_rows]
            columns = {name: values[trainee_rows] for name, values in columns.items()}
        self._collector.add_decisions(index, matches, agents, columns)
        return to_space(actions, network.action_space)

    def values(self, index: int, matches: Ints, agents: Ints) -> NDArray[np.float32]:
        """Return the values, float32 [R], that the trainee's critic of network `index` gives to these rows now."""
        _, observed = self.observe(index, matches, agents)
        return self._player_networks.values(self.networks[index], observed)

    def _end_matches(self, ended: Ints, rng: np.random.Generator) -> None:
        """Record the results of matches [K] that ended and start new ones in their place."""
        self._ended_matches += len(ended)
        self._ended_steps += int(self._matchups.lengths[ended].sum())
        is_trainee = self._matchups.is_trainee(ended)  # [K, agents]
        mean_returns = (self._returns[ended] * is_trainee).sum(axis=1) / is_trainee.sum(axis=1)  # [K]
        self._ended_returns += float(mean_returns.sum())
        # Clear all that belongs to the ended matches.
        self._returns[ended] = self._discounted[ended] = 0.0
        self.finished[ended] = False
        for memory in self._memory:
            if memory is not None:
                memory[ended] = 0.0
        # Scores are read before the reset, which clears them.
        scores = self.env.scores(ended)
        check_scores(self.env, scores, ended)
        self._matchups.record_results(ended, scores)
        self.env.reset(rng, ended)
        self._start_matches(ended, rng)

    # The rest of RLlib's EnvRunner interface.

    def assert_healthy(self) -> None:
        """Check, for RLlib, that the environment and the networks have been made."""
        assert self._open_env is not None and self.module is not None

    def get_spaces(self) -> dict[str, tuple[gym.Space[Any], gym.Space[Any]]]:
        """Return the spaces of all modules."""
        return module_spaces(self.config.spec)

    def get_metrics(self) -> Any:
        """Return metrics that RLlib's callbacks logged; the figures of a fragment are returned with it."""
        return self.metrics.reduce()

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Return the trainee's weights, the only state that outlasts a request."""
        return {COMPONENT_RL_MODULE: weights_to_numpy(self._player_networks.modules)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Ignore the state that RLlib sends at build time: weights come with each request."""

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the constructor's arguments, for RLlib's Checkpointable."""
        return (), {"config": self.config}

    def stop(self) -> None:
        """Close the environment."""
        if self._open_env is not None:
            self._open_env.close()


def module_spaces(spec: RunSpec) -> dict[str, tuple[gym.Space[Any], gym.Space[Any]]]:
    """Return {module id: (observation space, action space)}, from which RLlib builds the learner's modules."""
    per_module = {
        module_id(learner, network.name, spec.networks): (network.observation_space, network.action_space)
        for learner in spec.learner_shares
        for network in spec.networks
    }
    first = next(iter(per_module.values()))
    return {INPUT_ENV_SPACES: first, **per_module}
