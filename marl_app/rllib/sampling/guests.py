"""Opponents that act by themselves: bots, and networks of another architecture than the run's.

The networks of a run's own players are stacked (`opponents.py`); whoever does not fit there is asked row by row or
batch by batch, as it likes, and its actions are turned into the inputs of a distribution that always samples them. So
nothing downstream knows of it. Without such opponents none of this costs anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from marl_app.envs.batched import MakeEnv
from marl_app.players import bots
from marl_app.players.actions import inputs_of
from marl_app.players.agent import player_of
from marl_app.players.encoding import describe, plays_alike
from marl_app.players.modules.actor_critic import Architecture
from marl_app.players.networks import Network
from marl_app.players.policy import Follower, Policy
from marl_app.store.codec import Buffer

Array = NDArray[Any]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Guests:
    """Who acts by itself in the B matches of an env runner, by opponent slot. `rng`: the source of their randomness."""

    def __init__(
        self,
        make_env: MakeEnv,
        num_matches: int,
        num_sides: int,
        networks: Sequence[Network],
        agents: Sequence[str],
        architecture: Architecture,
    ) -> None:
        self._make_env = make_env
        self._own = describe(networks, agents, architecture)
        self._memories = (num_matches, len(agents))
        self._slots: Ints = np.full((num_matches, num_sides), -1)  # of the opponents in each match
        self._seated: dict[int, _Observer | _Followers] = {}
        self.rng = np.random.default_rng(0)

    def __bool__(self) -> bool:
        return bool(self._seated)

    def seat(self, slot: int, data: Buffer, metadata: Mapping[str, Any]) -> bool:
        """Give a slot to this player if it is one that acts by itself; else, answering False, leave it to others.

        Raises RuntimeError for one that acts by itself but cannot be made here.
        """
        self._seated.pop(slot, None)
        if bots.bot_name(metadata) is None and plays_alike(metadata, self._own):
            return False

        def make() -> Policy | Follower:
            with closing(self._make_env(1)) as env:
                return player_of(own, env)

        own = bytes(data)  # a copy, where they lie in shared memory
        try:
            player = make()
        except Exception as error:  # not to be taken for a snapshot that the store does not give
            raise RuntimeError(f"a guest cannot be made here: {type(error).__name__}: {error}") from error
        if isinstance(player, Follower):
            self._seated[slot] = _Followers(player, make)
        else:
            self._seated[slot] = _Observer(player, self._memories)
        return True

    def leave(self, slot: int) -> None:
        """The slot is another's now."""
        self._seated.pop(slot, None)

    def start(self, matches: Ints, slots: Ints) -> None:
        """These matches begin, with the opponents in these slots (where it is negative, nobody) on their sides."""
        self._slots[matches] = slots
        for slot, player in self._seated.items():
            if len(begun := matches[(slots == slot).any(axis=1)]):
                player.start(begun, self.rng)

    def among(self, slots: Ints) -> Bools:
        """Whose slots these are that act by themselves: bool [R]."""
        return np.isin(slots, list(self._seated))

    def act(
        self,
        space: spaces.Space,
        slots: Ints,
        matches: Ints,
        agents: Ints,
        observations: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        """Distribution inputs [R, n] of the actions that the players in these slots choose in rows of one network."""
        seen = observations.cpu().numpy()
        legal = None if mask is None else mask.cpu().numpy()
        parts, order = [], []
        for slot in np.unique(slots):
            rows = np.flatnonzero(slots == slot)
            masks = None if legal is None else legal[rows]
            actions = self._seated[int(slot)].act(matches[rows], agents[rows], seen[rows], masks, self.rng)
            parts.append(inputs_of(actions, space))
            order.append(rows)
        inputs = np.concatenate(parts)[np.argsort(np.concatenate(order))]
        return torch.from_numpy(inputs).to(observations.device)

    @property
    def follow_moves(self) -> bool:
        """Whether anybody wants to be told of moves."""
        return any(isinstance(player, _Followers) for player in self._seated.values())

    def follow(self, matches: Ints, agents: Ints, actions: Array) -> None:
        """These moves were made, by whomever: matches [R], agents [R] and actions [R, ...]."""
        for slot, player in self._seated.items():
            if isinstance(player, _Followers) and (rows := (self._slots[matches] == slot).any(axis=1)).any():
                player.follow(matches[rows], agents[rows], actions[rows])


class _Observer:
    """A policy, and what it remembers of each agent of each match."""

    def __init__(self, player: Policy, shape: tuple[int, int]) -> None:
        self._player = player
        self._memory = np.zeros((*shape, player.memory_size), np.float32)

    def start(self, matches: Ints, rng: np.random.Generator) -> None:
        self._memory[matches] = 0.0

    def act(self, matches: Ints, agents: Ints, seen: Array, masks: Bools | None, rng: np.random.Generator) -> Array:
        memory = self._memory[matches, agents] if self._player.memory_size else None
        chosen: Any = self._player.act(seen, masks, agents, rng=rng, greedy=False, memory=memory)
        if memory is not None:
            chosen, self._memory[matches, agents] = chosen
        return np.asarray(chosen)


class _Followers:
    """A player that follows matches, once for each match: theirs begin at different times."""

    def __init__(self, first: Follower, make: Callable[[], Any]) -> None:
        self._spare = [first]
        self._make = make
        self._of: dict[int, Follower] = {}

    def start(self, matches: Ints, rng: np.random.Generator) -> None:
        for match in matches.tolist():
            if match not in self._of:
                self._of[match] = self._spare.pop() if self._spare else self._make()
            self._of[match].start(1, rng)

    def act(self, matches: Ints, agents: Ints, seen: Array, masks: Bools | None, rng: np.random.Generator) -> Array:
        rows = zip(matches.tolist(), agents, strict=True)
        return np.array([self._of[match].choose(_FIRST, np.array([agent]))[0] for match, agent in rows])

    def follow(self, matches: Ints, agents: Ints, actions: Array) -> None:
        for row, match in enumerate(matches.tolist()):
            self._of[match].follow(_FIRST, agents[row : row + 1], actions[row : row + 1])


_FIRST: Ints = np.zeros(1, np.int64)  # the only match of a follower here
