"""Using what was trained: `marl_app.load_agent(run)`, numpy in and numpy out, no Ray running."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from marl_app.envs.batched import BatchedEnv
from marl_app.players import bots
from marl_app.players.actions import to_space
from marl_app.players.encoding import build_modules
from marl_app.players.modules.actor_critic import ActorCritic
from marl_app.players.policy import Follower, Policy
from marl_app.store.codec import decode, metadata_of

Array = NDArray[Any]


class Agent:
    """A trained player. `metadata` says who it is and what it was trained on."""

    def __init__(self, blob: bytes) -> None:
        torch.set_num_threads(1)
        weights, self.metadata = decode(blob)
        if bot := bots.bot_name(self.metadata):
            raise ValueError(f"this is the bot {bot}, which has no network: make it with its environment")
        self._modules = build_modules(weights, self.metadata)
        self._network_of = np.empty(len(self.metadata["agents"]), np.object_)  # name of its network, by agent
        self.memory_size = next(iter(self._modules.values())).memory_size
        for network in self.metadata["networks"]:
            self._network_of[network["agents"]] = network["name"]

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
        """An action for one observation, or an array of actions [R, ...] for a stack of them.

        An agent with a memory (`memory_size` > 0) takes what it remembers, and returns (action, memory): it begins with
        `start()`.

        observation: as the environment gives it to the agent that is to move, [*shape] or [R, *shape].
        action_mask: the legal actions, bool or 0/1, [n] or [R, n]; None if all are legal.
        agent: the seat (a name, an index, or an array of R indices of seats with the same spaces). It must be given
            where the player has several networks or was told which agent it plays, and makes no difference otherwise.
        rng: source of randomness of the sampled action; None: a fresh one.
        greedy: the likeliest action instead of a sampled one.
        memory: float32 [memory_size] or [R, memory_size].
        Raises ValueError for observations, masks and seats that do not fit.
        """
        inputs, one, space, memory = self._inputs(observation, action_mask, agent, memory)
        rng = rng or np.random.default_rng()
        if isinstance(space, spaces.Box):
            mean, log_std = np.split(inputs, 2, axis=1)
            noise = 0.0 if greedy else rng.standard_normal(mean.shape) * np.exp(log_std)
            actions = to_space((mean + noise).astype(np.float32), space)
        else:
            noise = 0.0 if greedy else rng.gumbel(size=inputs.shape)
            parts = [part.argmax(axis=1) for part in np.split(inputs + noise, _ends(space), axis=1)]
            actions = parts[0] if isinstance(space, spaces.Discrete) else np.stack(parts, axis=1)
        if one:
            actions = actions[0]
        chosen = int(actions) if one and isinstance(space, spaces.Discrete) else actions
        return (chosen, memory) if self.memory_size else chosen

    def start(self, rows: int | None = None) -> Array:
        """What is remembered before the first observation: zeros, float32 [memory_size] or [rows, memory_size]."""
        return np.zeros(self.memory_size if rows is None else (rows, self.memory_size), np.float32)

    def probabilities(
        self, observation: Array, action_mask: Array | None = None, agent: Any = None, memory: Array | None = None
    ) -> Array:
        """The policy's probabilities, float32 [n] or [R, n] (a MultiDiscrete's parts side by side).

        Arguments as `act`. Raises ValueError for continuous actions.
        """
        inputs, one, space, _ = self._inputs(observation, action_mask, agent, memory)
        if isinstance(space, spaces.Box):
            raise ValueError("continuous actions have densities, not probabilities; use act")
        parts = []
        for part in np.split(inputs, _ends(space), axis=1):
            odds = np.exp(part - part.max(axis=1, keepdims=True))
            parts.append(odds / odds.sum(axis=1, keepdims=True))
        probabilities = np.concatenate(parts, axis=1).astype(np.float32)
        return probabilities[0] if one else probabilities

    def spaces_of(self, agent: int) -> tuple[spaces.Box, spaces.Space]:
        """The observation and the action space of a seat."""
        module = self._modules[self._network_of[agent]]
        return module.observation_space, module.action_space

    def _inputs(
        self, observation: Array, mask: Array | None, agent: Any, memory: Array | None
    ) -> tuple[Array, bool, spaces.Space, Array | None]:
        """Distribution inputs [R, n], whether it was one observation, the action space, and the memory afterwards."""
        seats = self._seats(agent)
        names = self._network_of[seats]
        module = self._modules[names[0]]
        shape = module.observation_space.shape
        observation = np.asarray(observation)
        if observation.shape[-len(shape) :] != shape or observation.ndim > len(shape) + 1:
            raise ValueError(f"an observation must be of shape {shape}, or a stack of them, not {observation.shape}")
        one = observation.ndim == len(shape)
        rows = torch.from_numpy(np.ascontiguousarray(observation.reshape(-1, *shape)))
        legal = None if mask is None else self._legal(np.asarray(mask), module, None if one else len(rows))
        ids = torch.from_numpy(np.broadcast_to(seats, len(rows)).copy())
        before = self._remembered(memory, len(rows), one)
        with torch.inference_mode():
            inputs, after = module.act(rows, legal, ids, before)
            for name in set(names[1:]) - {names[0]}:  # seats of one group may have networks of their own
                own = torch.from_numpy(np.flatnonzero(names == name))
                some = (None if part is None else part[own] for part in (rows, legal, ids, before))
                inputs[own], remembered = self._modules[name].act(*some)
                if after is not None:
                    after[own] = remembered
        if after is not None:
            memory = after.numpy()[0] if one else after.numpy()
        return inputs.numpy(), one, module.action_space, memory

    def _remembered(self, memory: Array | None, rows: int, one: bool) -> Tensor | None:
        """The memory of all rows, [R, size]; None if there is none to have."""
        if not self.memory_size:
            return None
        shape = (self.memory_size,) if one else (rows, self.memory_size)
        if memory is None or memory.shape != shape:
            given = "none" if memory is None else memory.shape
            raise ValueError(
                f"this agent remembers: give memory of shape {shape} (start() before the first), not {given}"
            )
        return torch.from_numpy(np.ascontiguousarray(memory.reshape(rows, -1), np.float32))

    def _legal(self, mask: Array, module: ActorCritic, rows: int | None) -> Tensor:
        """The mask of all rows (None: of one observation), bool [R, n]."""
        actions = module.policy_head.linear.out_features
        shape = (actions,) if rows is None else (rows, actions)
        if mask.shape != shape:
            raise ValueError(f"an action mask must be of shape {shape} here, not {mask.shape}")
        return torch.from_numpy(mask.reshape(-1, actions).astype(np.bool_))

    def _seats(self, agent: Any) -> Array:
        names: Sequence[str] = self.metadata["agents"]
        if agent is None:
            if len(self._modules) > 1 or any(network["num_agents"] for network in self.metadata["networks"]):
                raise ValueError(f"say which agent it plays: agent=... of {', '.join(names)}")
            return np.zeros(1, np.int64)
        if isinstance(agent, str):
            if agent not in names:
                raise ValueError(f"no agent {agent!r}; the agents are {', '.join(names)}")
            return np.array([names.index(agent)])
        seats = np.atleast_1d(np.asarray(agent, np.int64))
        unknown = seats[(seats < 0) | (seats >= len(names))]
        if len(unknown):
            raise ValueError(f"no agent {unknown[0]}; the agents are 0 to {len(names) - 1}, {', '.join(names)}")
        return seats


def _ends(space: spaces.Space) -> Array:
    """Where the parts of an action's inputs end, the last one left out."""
    return np.cumsum(space.nvec)[:-1] if isinstance(space, spaces.MultiDiscrete) else np.zeros(0, np.int64)


def player_from_bytes(data: bytes, env: BatchedEnv) -> Policy | Follower:
    """Whoever these bytes are, ready to play: a network's player, or a bot, which is made with the environment.

    Raises ValueError for a bot that cannot play it.
    """
    bot = bots.bot_name(metadata_of(data))
    return Agent(data) if bot is None else bots.make_bot(env, bot)
