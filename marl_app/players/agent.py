"""Trained players for use outside of training: `marl_app.load_agent(run)`, with a numpy interface and without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from marl_app.envs.batched import BatchedEnv
from marl_app.envs.pettingzoo_spaces import require_binary
from marl_app.envs.symmetries import Symmetries, Views
from marl_app.players import bots
from marl_app.players.actions import to_space
from marl_app.players.encoding import build_modules, network_class
from marl_app.players.imports import imported_class
from marl_app.players.modules.actor_critic import ActorCritic
from marl_app.players.policy import Follower, Policy
from marl_app.store.codec import Buffer, decode, metadata_of

Array = NDArray[Any]


class Agent:
    """A trained player, made from its bytes. `metadata`: its name, networks and training (see `encoding.py`).

    average_symmetries: play the mean of the action probabilities over all symmetric views of an observation.

    Raises ValueError for bytes that are not a player's, for a network class that is not imported, and if there are no
    symmetries to average over.
    """

    def __init__(self, blob: bytes, average_symmetries: bool = False) -> None:
        torch.set_num_threads(1)
        weights, self.metadata = decode(blob)
        if bot := bots.bot_name(self.metadata):
            raise ValueError(f"this is the bot {bot}, which has no network: make it with players.bots.make_bot")
        try:
            # The bytes may come from a foreign file, and metadata of a wrong form fail in many ways: report them alike.
            self._modules = build_modules(weights, self.metadata)
            self._network_of_agent = np.empty(len(self.metadata["agents"]), np.object_)  # [agents]: name of the network
            for network in self.metadata["networks"]:
                self._network_of_agent[network["agents"]] = network["name"]
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError) as error:
            raise ValueError(f"this player is malformed: {type(error).__name__}: {error}") from error
        self.memory_size = next(iter(self._modules.values())).memory_size
        self._views = self._symmetric_views() if average_symmetries else {}  # by network

    def act(
        self,
        observation: Array,
        action_mask: Array | None = None,
        agent: Any = None,
        *,
        rng: np.random.Generator | None = None,
        greedy: bool = False,
        memory: Array | None = None,
    ) -> Any:
        """Return an action for one observation, or an array of actions [R, ...] for a stack of observations.

        An agent with a memory (`memory_size` > 0) returns (action, new memory). Its first memory is `start()`.

        observation: the environment's observation of the agent that is to move, [*shape] or [R, *shape].
        action_mask: the legal actions, bool or 0/1, [n] or [R, n]; None if all are legal.
        agent: the agent of the environment: its name, its index, or an array of R indices of agents with the same
            spaces. Required if the player has several networks or its network receives agent ids, else not used.
        rng: random number generator of sampled actions; None: a new one.
        greedy: take the likeliest action instead of sampling.
        memory: float32 [memory_size] or [R, memory_size].

        Raises ValueError for observations, masks, agents and memories that do not fit.
        """
        inputs, is_single, space, memory = self._inputs(observation, action_mask, agent, memory)
        rng = rng or np.random.default_rng()
        # `inputs` [R, n]: means and log standard deviations of Box actions, else logits.
        if isinstance(space, spaces.Box):
            mean, log_std = np.split(inputs, 2, axis=1)
            noise = 0.0 if greedy else rng.standard_normal(mean.shape) * np.exp(log_std)
            actions = to_space((mean + noise).astype(np.float32), space)
        else:
            # The argmax of logits plus Gumbel noise is a sample from their softmax.
            noise = 0.0 if greedy else rng.gumbel(size=inputs.shape)
            parts = [part.argmax(axis=1) for part in np.split(inputs + noise, _split_points(space), axis=1)]
            actions = parts[0] if isinstance(space, spaces.Discrete) else np.stack(parts, axis=1)
        if is_single:
            actions = actions[0]
        result = int(actions) if is_single and isinstance(space, spaces.Discrete) else actions
        return (result, memory) if self.memory_size else result

    def start(self, rows: int | None = None) -> Array:
        """Return the memory before the first observation: zeros, float32 [memory_size] or [rows, memory_size]."""
        return np.zeros(self.memory_size if rows is None else (rows, self.memory_size), np.float32)

    def probabilities(
        self, observation: Array, action_mask: Array | None = None, agent: Any = None, memory: Array | None = None
    ) -> Array:
        """Return the policy's action probabilities, float32 [n] or [R, n] (a MultiDiscrete's parts concatenated).

        Arguments as in `act`. Raises ValueError for continuous actions.
        """
        inputs, is_single, space, _ = self._inputs(observation, action_mask, agent, memory)
        if isinstance(space, spaces.Box):
            raise ValueError("continuous actions have densities, not probabilities; use act")
        parts = []
        # A softmax per part of an action; subtracting the maximum avoids overflow.
        for part in np.split(inputs, _split_points(space), axis=1):
            exponentials = np.exp(part - part.max(axis=1, keepdims=True))
            parts.append(exponentials / exponentials.sum(axis=1, keepdims=True))
        probabilities = np.concatenate(parts, axis=1).astype(np.float32)
        return probabilities[0] if is_single else probabilities

    def value(self, observation: Array, agent: Any = None, memory: Array | None = None) -> Array | None:
        """Return what the critic expects from here on: the discounted sum of rewards, float32 scalar or [R].

        Arguments as in `act`. None if the critic sees more than the observation, or if the player has no critic.
        """
        agents = self._agent_indices(agent)
        names = self._network_of_agent[agents]
        module = self._modules[names[0]]
        # A centralized critic sees more than an observation, and an epsilon-greedy network has no trained critic.
        if module.central or module.epsilon_greedy:
            return None
        # A single observation is computed as a stack of one row.
        shape = module.observation_space.shape
        observation = np.asarray(observation)
        is_single = observation.ndim == len(shape)
        rows = torch.from_numpy(np.ascontiguousarray(observation.reshape(-1, *shape)))
        ids = torch.from_numpy(np.broadcast_to(agents, len(rows)).copy())
        before = self._memory_rows(memory, len(rows), is_single)
        values = np.empty(len(rows), np.float32)
        with torch.inference_mode():
            for name in set(names):  # rows of each network
                own = torch.from_numpy(np.flatnonzero(np.broadcast_to(names == name, len(rows))))
                past = None if before is None else before[own]
                values[own.numpy()] = self._modules[name].values(rows[own], ids[own], past).float().numpy()
        return values[0] if is_single else values

    def spaces_of(self, agent: int) -> tuple[spaces.Box, spaces.Space[Any]]:
        """Return the observation and the action space of an agent."""
        module = self._modules[self._network_of_agent[agent]]
        return module.observation_space, module.action_space

    def _inputs(
        self, observation: Array, mask: Array | None, agent: Any, memory: Array | None
    ) -> tuple[Array, bool, spaces.Space[Any], Array | None]:
        """Return distribution inputs [R, n], whether R is a single observation, the action space and the new memory."""
        agents = self._agent_indices(agent)  # [R], or [1] if all rows are of the same agent
        names = self._network_of_agent[agents]
        module = self._modules[names[0]]
        shape = module.observation_space.shape
        observation = np.asarray(observation)
        if observation.shape[-len(shape) :] != shape or observation.ndim > len(shape) + 1:
            raise ValueError(f"an observation must be of shape {shape}, or a stack of them, not {observation.shape}")
        if observation.dtype.kind not in "biuf" or not np.isfinite(observation).all():
            raise ValueError("an observation must be of finite numbers: this one has NaN, infinity or something else")
        # A single observation is computed as a stack of one row.
        is_single = observation.ndim == len(shape)
        rows = torch.from_numpy(np.ascontiguousarray(observation.reshape(-1, *shape)))
        # One mask may be given as the masks of the parts of a MultiDiscrete action.
        if is_single and isinstance(mask, tuple | list) and mask and np.ndim(mask[0]):
            mask = np.concatenate([np.ravel(part) for part in mask])
        legal = None if mask is None else self._legal(np.asarray(mask), module, None if is_single else len(rows))
        agent_ids = torch.from_numpy(np.broadcast_to(agents, len(rows)).copy())
        old_memory = self._memory_rows(memory, len(rows), is_single)
        with torch.inference_mode():
            # All rows with the first row's network; then the rows of other networks again, with theirs.
            inputs, new_memory = self._forward(names[0], rows, mask=legal, agents=agent_ids, memory=old_memory)
            for name in set(names[1:]) - {names[0]}:
                indices = torch.from_numpy(np.flatnonzero(names == name))
                inputs[indices], network_memory = self._forward(
                    name,
                    rows[indices],
                    mask=None if legal is None else legal[indices],
                    agents=agent_ids[indices],
                    memory=None if old_memory is None else old_memory[indices],
                )
                if new_memory is not None:
                    new_memory[indices] = network_memory
        if new_memory is not None:
            memory = new_memory.numpy()[0] if is_single else new_memory.numpy()
        return inputs.numpy(), is_single, module.action_space, memory

    def _forward(
        self, name: str, rows: Tensor, mask: Tensor | None, agents: Tensor, memory: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return distribution inputs [R, n] of a network, averaged over symmetric views if it has them."""
        module, views = self._modules[name], self._views.get(name)
        if views is None:
            return module.act(rows, mask=mask, agents=agents, memory=memory)
        # [R, n]: a sum of probabilities, not of logits; those of a view are put into the original order of actions.
        total = np.zeros((len(rows), module.policy_head.linear.out_features))
        for number in range(views.count):
            view = np.full(len(rows), number)
            seen = torch.from_numpy(views.observations(rows.numpy(), view))
            legal = None if mask is None else torch.from_numpy(views.masks(mask.numpy(), view))
            inputs, _ = module.act(seen, mask=legal, agents=agents)
            total += views.original_probabilities(inputs.softmax(dim=1).numpy(), view)
        # Logits of the mean; of an action that no view allows, the logarithm of a number that is as good as 0.
        return torch.from_numpy(np.log(np.maximum(total / views.count, 1e-30))).float(), None

    def _symmetric_views(self) -> dict[str, Views]:
        """Return the views of each network that has symmetries. Raises ValueError if none has, or has a memory."""
        stated = {network["name"]: network.get("symmetries") for network in self.metadata["networks"]}
        views = {name: Views(Symmetries(**found)) for name, found in stated.items() if found}
        if not views or self.memory_size:
            reason = "has a memory" if views else "was trained in a game that states no symmetries"
            raise ValueError(f"average_symmetries=True: this player {reason}; leave it out")
        return views

    def _memory_rows(self, memory: Array | None, rows: int, is_single: bool) -> Tensor | None:
        """Return the memory of all rows, [R, size]; None for an agent without memory."""
        if not self.memory_size:
            return None
        shape = (self.memory_size,) if is_single else (rows, self.memory_size)
        if memory is None or memory.shape != shape:
            given = "none" if memory is None else memory.shape
            raise ValueError(
                f"this agent has a memory: give memory of shape {shape} (start() before the first), not {given}"
            )
        return torch.from_numpy(np.ascontiguousarray(memory.reshape(rows, -1), np.float32))

    def _legal(self, mask: Array, module: ActorCritic, rows: int | None) -> Tensor:
        """Return the mask as bool [R, n]. `rows`: None for a single observation."""
        actions = module.policy_head.linear.out_features
        shape = (actions,) if rows is None else (rows, actions)
        if mask.shape != shape:
            raise ValueError(f"an action mask must be of shape {shape} here, not {mask.shape}")
        require_binary(mask, "the action mask")
        legal = mask.reshape(-1, actions).astype(np.bool_)
        for part in np.split(legal, _split_points(module.action_space), axis=1):
            if not part.any(axis=1).all():
                raise ValueError(
                    "the action mask allows no action: it must allow at least one, of each part of an action"
                )
        return torch.from_numpy(legal)

    def _agent_indices(self, agent: Any) -> Array:
        """Return the indices of the agents, int64 [R] or [1]."""
        names: Sequence[str] = self.metadata["agents"]
        # Without an agent, index 0 stands for any: one network plays all of them, and it does not see ids.
        if agent is None:
            if len(self._modules) > 1 or any(network["num_agents"] for network in self.metadata["networks"]):
                raise ValueError(f"the agent is required: give agent=NAME, one of {', '.join(names)}")
            return np.zeros(1, np.int64)
        if isinstance(agent, str):
            if agent not in names:
                raise ValueError(f"unknown agent {agent!r}: give one of {', '.join(names)}")
            return np.array([names.index(agent)])
        indices = np.atleast_1d(np.asarray(agent))
        if indices.dtype.kind not in "iu" or indices.ndim > 1:
            raise ValueError(f"unknown agent {agent!r}: give a name, an index or an array of indices")
        unknown = indices[(indices < 0) | (indices >= len(names))]
        if len(unknown):
            raise ValueError(f"unknown agent {unknown[0]}: give 0 to {len(names) - 1} ({', '.join(names)})")
        return indices


def _split_points(space: spaces.Space[Any]) -> Array:
    """Return the indices that split distribution inputs [R, n] into the parts of an action, for `np.split`."""
    return np.cumsum(space.nvec)[:-1] if isinstance(space, spaces.MultiDiscrete) else np.zeros(0, np.int64)


def player_from_bytes(data: bytes, env: BatchedEnv) -> Policy | Follower:
    """Return the player that the bytes encode: an `Agent`, or a bot, which is made with the environment.

    Raises ValueError for a bot that cannot play the environment, and for a class that is not imported.
    """
    bot = bots.bot_name(metadata_of(data))
    return Agent(data) if bot is None else bots.make_bot(env, bot)


def player_class(data: Buffer) -> type | None:
    """Return the class of the player that the bytes encode; None for an anchor. Raises ValueError as above."""
    metadata = metadata_of(data)
    bot = bots.bot_name(metadata)
    if bot is None:
        return network_class(metadata["module_class"])
    return None if bots.is_anchor(bot) else imported_class(bot)
