"""Opponents that cannot be stacked with the run's networks: bots, and networks of another architecture.

Opponents with the run's architecture share batched forward passes (`opponent_slots.py`). A guest is called separately
for its rows, and its actions become inputs of a distribution that always samples them, so that sampling, records and
training treat its rows like all others. Without guests none of this takes time.
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
from marl_app.players.actions import deterministic_inputs
from marl_app.players.agent import player_from_bytes
from marl_app.players.encoding import has_same_architecture, player_metadata
from marl_app.players.modules.actor_critic import Architecture
from marl_app.players.networks import Network
from marl_app.players.policy import Follower, Policy
from marl_app.store.codec import Buffer

Array = NDArray[Any]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Guests:
    """The guests in the opponent slots of an env runner with B matches. `rng`: source of their random numbers."""

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
        self._run_metadata = player_metadata(networks, agents, architecture)
        self._memory_shape = (num_matches, len(agents))
        self._slots: Ints = np.full((num_matches, num_sides), -1)  # [B, sides]: slot of the opponent; < 0: trainee
        self._guests: dict[int, _PolicyGuest | _FollowerGuest] = {}  # by slot
        self.rng = np.random.default_rng(0)

    def __bool__(self) -> bool:
        return bool(self._guests)

    def load_if_guest(self, slot: int, data: Buffer, metadata: Mapping[str, Any]) -> bool:
        """Put an encoded player into a slot if it is a guest. Returns False if it belongs in the stacked pass.

        Raises RuntimeError for a guest that cannot be made here.
        """
        # The slot's last guest is gone, whether or not the new player is a guest.
        self._guests.pop(slot, None)
        if bots.bot_name(metadata) is None and has_same_architecture(metadata, self._run_metadata):
            return False

        def make() -> Policy | Follower:
            with closing(self._make_env(1)) as env:
                return player_from_bytes(player_bytes, env)

        player_bytes = bytes(data)  # a copy, since `data` may be shared memory that is freed later
        try:
            player = make()
        except Exception as error:  # not one of FETCH_ERRORS, which would be retried
            raise RuntimeError(f"a guest cannot be made here: {type(error).__name__}: {error}") from error
        if isinstance(player, Follower):
            self._guests[slot] = _FollowerGuest(player, make)
        else:
            self._guests[slot] = _PolicyGuest(player, self._memory_shape)
        return True

    def clear(self, slot: int) -> None:
        """Remove the guest from a slot, if it holds one."""
        self._guests.pop(slot, None)

    def start_matches(self, matches: Ints, slots: Ints) -> None:
        """Begin matches [K] with the opponents in slots [K, sides] (negative: the trainee) on their sides."""
        self._slots[matches] = slots
        # A guest starts only the matches in which its slot plays a side.
        for slot, guest in self._guests.items():
            guest_matches = matches[(slots == slot).any(axis=1)]
            if len(guest_matches):
                guest.start_matches(guest_matches, self.rng)

    def is_guest(self, slots: Ints) -> Bools:
        """Return which of the slots [R] hold guests: bool [R]."""
        return np.isin(slots, list(self._guests))

    def act(
        self,
        action_space: spaces.Space[Any],
        slots: Ints,
        matches: Ints,
        agents: Ints,
        observations: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        """Return inputs [R, n] of distributions that always sample the actions of the guests in slots [R].

        All rows are of one network; `matches` and `agents` are int64 [R].
        """
        observation_rows = observations.cpu().numpy()
        mask_rows = None if mask is None else mask.cpu().numpy()
        inputs_by_slot, rows_by_slot = [], []
        for slot in np.unique(slots).tolist():
            rows = np.flatnonzero(slots == slot)
            masks = None if mask_rows is None else mask_rows[rows]
            actions = self._guests[slot].act(matches[rows], agents[rows], observation_rows[rows], masks, self.rng)
            inputs_by_slot.append(deterministic_inputs(actions, action_space))
            rows_by_slot.append(rows)
        # Every row belongs to one slot, so the rows of all slots are a permutation, which argsort inverts.
        inputs = np.concatenate(inputs_by_slot)[np.argsort(np.concatenate(rows_by_slot))]
        inputs_tensor: Tensor = torch.from_numpy(inputs).to(observations.device)
        return inputs_tensor

    @property
    def has_followers(self) -> bool:
        """Whether a guest follows the moves of its matches, as a tree search does."""
        return any(isinstance(guest, _FollowerGuest) for guest in self._guests.values())

    def follow_moves(self, matches: Ints, agents: Ints, actions: Array) -> None:
        """Pass moves to the guests that follow them: matches [R], agents [R] and actions [R, ...] of all players."""
        # [R] bool per guest: True for moves in its matches, its moves included.
        for slot, guest in self._guests.items():
            if isinstance(guest, _FollowerGuest) and (rows := (self._slots[matches] == slot).any(axis=1)).any():
                guest.follow_moves(matches[rows], agents[rows], actions[rows])


class _PolicyGuest:
    """A policy, and its memory of each agent of each match."""

    def __init__(self, player: Policy, memory_shape: tuple[int, int]) -> None:
        self._player = player
        self._memory = np.zeros((*memory_shape, player.memory_size), np.float32)  # [B, agents, memory size]

    def start_matches(self, matches: Ints, rng: np.random.Generator) -> None:
        self._memory[matches] = 0.0

    def act(
        self, matches: Ints, agents: Ints, observations: Array, masks: Bools | None, rng: np.random.Generator
    ) -> Array:
        # [R, memory size], or None for a policy without memory.
        memory = self._memory[matches, agents] if self._player.memory_size else None
        actions: Any = self._player.act(observations, masks, agents, rng=rng, greedy=False, memory=memory)
        if memory is not None:
            actions, self._memory[matches, agents] = actions
        return np.asarray(actions)


class _FollowerGuest:
    """A player that follows moves, with one instance per match, because matches begin at different times."""

    def __init__(self, first: Follower, make: Callable[[], Any]) -> None:
        self._spare = [first]
        self._make = make
        self._followers: dict[int, Follower] = {}  # by match

    def start_matches(self, matches: Ints, rng: np.random.Generator) -> None:
        for match in matches.tolist():
            if match not in self._followers:
                self._followers[match] = self._spare.pop() if self._spare else self._make()
            self._followers[match].start(1, rng)

    def act(
        self, matches: Ints, agents: Ints, observations: Array, masks: Bools | None, rng: np.random.Generator
    ) -> Array:
        # One call per row: a follower holds one match, so its match index is always 0.
        actions = [
            self._followers[match].choose(_FIRST_MATCH, np.array([agent]))[0]
            for match, agent in zip(matches.tolist(), agents, strict=True)
        ]
        return np.array(actions)

    def follow_moves(self, matches: Ints, agents: Ints, actions: Array) -> None:
        for row, match in enumerate(matches.tolist()):
            self._followers[match].follow(_FIRST_MATCH, agents[row : row + 1], actions[row : row + 1])


_FIRST_MATCH: Ints = np.zeros(1, np.int64)  # the index of the only match of each follower
