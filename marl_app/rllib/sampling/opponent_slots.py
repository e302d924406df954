"""Opponent slots: the players beside its trainee that an env runner holds, and their forward passes.

A slot holds one snapshot, loaded by its digest and verified by the reader, or another learner as it is now, by its id,
whose weights come with the request. There are never more than `capacity`, so an env runner's memory does not grow with
the pool. Rows of many opponents are answered by ONE batched forward pass (`torch.func.vmap` over weights that are
copied into one stack [capacity, ...], rows padded to the fullest slot) if the networks are small, else by one pass per
slot over exactly its rows. Those play from the bytes as they lie: where these are memory that the processes of a node
share (a cache's, or Ray's), so are the weights of their opponents.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from marl_app.players.modules.actor_critic import ActorCritic
from marl_app.players.networks import Network
from marl_app.rllib.sampling.guests import Guests
from marl_app.store.codec import Buffer, decode_views
from marl_app.store.prefetch import PrefetchingReader
from marl_app.store.reader import Reader
from marl_app.store.store import is_digest
from marl_app.store.traffic import Traffic

# torch cannot prevent writing to the memory of read-only arrays, and warns of it; we do not write.
warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)

STACK_UP_TO_PARAMETERS = 50_000
"""Larger networks fill the core row by row already: with 2x512 layers and 16 opponents, a pass per slot took 0.75 of
the time of the padded stacked pass; with 2x64 layers the stacked pass took 0.8, and 0.2 with 64 opponents."""


LOG_STD = "log_std"


class OpponentSlots:
    """At most `capacity` players, ready to play. `players` says who is in each slot: a digest, or a learner's id.

    modules: the trainee's own networks by name, whose architecture the snapshots share.
    guests: takes in who acts by itself; None: nobody does.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        modules: Mapping[str, ActorCritic],
        capacity: int,
        reader: Reader,
        guests: Guests | None = None,
    ) -> None:
        self._reader = reader
        self._guests = guests
        self._stacks = {network.name: _Stack(modules[network.name], capacity) for network in networks}
        self._learners: Mapping[str, Any] = {}
        self.players: list[str | None] = [None] * capacity

    def slot_of(self, player: str) -> int | None:
        """The slot that holds a player, by digest or learner's id, or None."""
        return self.players.index(player) if player in self.players else None

    def refresh(self, learners: Mapping[str, Any]) -> None:
        """The weights of learners are now these, by id, as they are or in Ray's object store."""
        self._learners = learners
        for slot, player in enumerate(self.players):
            if player in learners:
                self.load(slot, player)

    def load(self, slot: int, player: str) -> None:
        """Fetch a player into a slot that no running match uses (or uses for a learner as it was before).

        Raises KeyError (not in the store), store.codec.CorruptBlob (bytes that are not the digest's), OSError (the
        store does not answer) or ValueError (weights of another architecture).
        """
        if player in self._learners:
            weights = self._learners[player]
            weights = ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights
        else:
            data = self._get(player, [held for held in self.held if held != self.players[slot]])
            weights, metadata = decode_views(data)
            if self._guests is not None and self._guests.seat(slot, data, metadata):
                self.players[slot] = player
                for stack in self._stacks.values():
                    stack.leave(slot)
                return
        if self._guests is not None:
            self._guests.leave(slot)
        self.players[slot] = None  # nobody, should the weights not fit half-way
        for name, stack in self._stacks.items():
            prefix = f"{name}/"
            stack.load(slot, {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)})
        self.players[slot] = player

    def _get(self, digest: str, in_use: Sequence[str]) -> Buffer:
        began = time.monotonic()
        try:
            return self._reader.get(digest, in_use)
        finally:
            self._reader.traffic.waited += time.monotonic() - began

    def prepare(self, snapshots: Iterable[str]) -> None:
        """These snapshots, by digest, are loaded next: whoever is in no slot is fetched beside, if the reader can."""
        if isinstance(self._reader, PrefetchingReader):
            self._reader.prefetch([digest for digest in snapshots if digest not in self.players], self.held)

    @property
    def held(self) -> tuple[str, ...]:
        """The digests of the snapshots in the slots."""
        return tuple(player for player in self.players if player is not None and is_digest(player))

    @property
    def rack(self) -> str:
        """The name of the rack that snapshots come from."""
        return self._reader.rack

    @property
    def held_bytes(self) -> int:
        """Of the weights in all slots."""
        return sum(stack.held_bytes for stack in self._stacks.values())

    def take_traffic(self) -> Traffic:
        """What loading has moved since the last call."""
        return self._reader.traffic.pop_totals()

    def act(
        self,
        network: str,
        slots: NDArray[Any],
        observations: Tensor,
        mask: Tensor | None,
        agents: Tensor | None,
        memory: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Distribution inputs [R, n] of rows, each from the opponent in its slot (`slots` int [R]), and memories."""
        return self._stacks[network].act(slots, observations, mask, agents, memory)


class _Stack:
    """One network's policy weights for every slot: in one stack, or as a network for each slot."""

    def __init__(self, module: ActorCritic, capacity: int) -> None:
        self._module = module
        self._capacity = capacity
        own = {name: value for name, value in module.state_dict().items() if not name.startswith("value_head.")}
        self._like = {name: value.to("meta") for name, value in own.items()}
        self._device = next(iter(own.values())).device
        self._skeleton = copy.deepcopy(module.policy_head).to("meta")
        self._batched = vmap(self._policy)
        small = sum(value.numel() for value in own.values()) <= STACK_UP_TO_PARAMETERS
        self._stacked = small and not module.memory_size  # torch has no stacked recurrent layers
        self._weights = {
            name: value.detach().expand(capacity, *value.shape).clone()
            for name, value in own.items()
            if self._stacked or name == LOG_STD
        }
        self._policies: list[nn.Module | None] = [None] * capacity

    @property
    def held_bytes(self) -> int:
        alone = [value for policy in self._policies if policy is not None for value in policy.state_dict().values()]
        return sum(value.nbytes for value in [*self._weights.values(), *alone])

    def load(self, slot: int, weights: Mapping[str, NDArray[Any]]) -> None:
        for name, like in self._like.items():
            if name not in weights or weights[name].shape != like.shape:
                raise ValueError(
                    f"the snapshot's weights do not fit this run's model (at {name}); was `model` changed?"
                )
        for name, stacked in self._weights.items():
            stacked[slot].copy_(_tensor(weights[name]))
        if not self._stacked:
            policy = copy.deepcopy(self._skeleton)
            parts = {
                name.removeprefix("policy_head."): _tensor(weights[name]).to(
                    self._device, like.dtype
                )  # else as it lies
                for name, like in self._like.items()
                if name != LOG_STD
            }
            policy.load_state_dict(parts, assign=True)
            self._policies[slot] = policy

    def leave(self, slot: int) -> None:
        """Nobody of these is in the slot any more: what it played from is let go of."""
        self._policies[slot] = None

    def act(
        self,
        slots: NDArray[Any],
        observations: Tensor,
        mask: Tensor | None,
        agents: Tensor | None,
        memory: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        order = np.argsort(slots, kind="stable")
        counts = np.bincount(slots, minlength=self._capacity)
        device = observations.device
        rows = torch.from_numpy(order).to(device)
        observations, agents, memory = (
            None if part is None else part.index_select(0, rows) for part in (observations, agents, memory)
        )
        if self._stacked:
            ordered = self._one_pass(slots[order], counts, observations, agents)
        else:
            ordered, memory = self._pass_per_slot(counts, observations, agents, memory)
        policy = torch.empty_like(ordered)
        policy[rows] = ordered
        if memory is not None:
            memory = torch.empty_like(memory).index_copy_(0, rows, memory)
        if LOG_STD in self._weights:
            return torch.cat([policy, self._weights[LOG_STD][torch.from_numpy(slots).to(device)]], dim=1), memory
        return self._module.dist_inputs(policy, mask), memory

    def _policy(self, weights: Mapping[str, Tensor], observations: Tensor, agents: Tensor) -> Tensor:
        return functional_call(self._skeleton, weights, (observations, agents))[0]

    def _one_pass(
        self, slots: NDArray[Any], counts: NDArray[Any], observations: Tensor, agents: Tensor | None
    ) -> Tensor:
        first = np.cumsum(counts) - counts
        place = torch.from_numpy(np.arange(len(slots)) - first[slots]).to(observations.device)
        slot = torch.from_numpy(slots).to(observations.device)
        padded = observations.new_zeros((len(counts), int(counts.max()), *observations.shape[1:]))
        padded[slot, place] = observations
        ids = padded.new_zeros(padded.shape[:2], dtype=torch.int64)
        if agents is not None:
            ids[slot, place] = agents
        weights = {name.removeprefix("policy_head."): w for name, w in self._weights.items() if name != LOG_STD}
        return self._batched(weights, padded, ids)[slot, place]

    def _pass_per_slot(
        self, counts: NDArray[Any], observations: Tensor, agents: Tensor | None, memory: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        parts: list[Tensor] = []
        after: list[Tensor] = []
        start = 0
        for slot in np.flatnonzero(counts):
            rows = slice(start, start + counts[slot])
            some = (None if part is None else part[rows] for part in (observations, agents, memory))
            policy, remembered = self._policies[slot](*some)
            parts.append(policy)
            if memory is not None:
                after.append(remembered)
            start = rows.stop
        return torch.cat(parts), torch.cat(after) if memory is not None else None


def _tensor(array: NDArray[Any]) -> Tensor:
    """The array as a tensor that shares its memory, which nobody writes to."""
    return torch.from_numpy(array)


def numpy_weights(modules: Mapping[str, nn.Module]) -> dict[str, NDArray[Any]]:
    """All weights of a player's networks under `network/parameter`, as the store keeps them (copies)."""
    return {
        f"{network}/{name}": value.detach().cpu().numpy().copy()
        for network, module in modules.items()
        for name, value in module.state_dict().items()
    }
