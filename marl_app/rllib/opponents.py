"""Opponent slots: the players beside its trainee that an env runner holds, and their forward passes.

A slot holds one snapshot, loaded by its digest and verified by the store, or another learner as it is now, by its id.
There are never more than `capacity`, so an env runner's memory does not grow with the pool. The slots of one network
live in one set of stacked weights [capacity, ...]. Rows of many opponents are answered either by ONE batched forward
pass (`torch.func.vmap` over the stacked weights, rows padded to the fullest slot) or by one pass per slot over exactly
its rows.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from marl_app.rllib.guests import Guests
from marl_app.rllib.modules.actor_critic import ActorCritic
from marl_app.rllib.networks import Network
from marl_app.store.codec import decode
from marl_app.store.store import Store

STACK_UP_TO_PARAMETERS = 50_000
"""Larger networks fill the core row by row already: with 2x512 layers and 16 opponents, a pass per slot took 0.75 of
the time of the padded stacked pass; with 2x64 layers the stacked pass took 0.8, and 0.2 with 64 opponents."""


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
        store: Store,
        guests: Guests | None = None,
    ) -> None:
        self._store = store
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

        Raises KeyError (not in the store), store.codec.CorruptBlob (bytes that are not the digest's) or ValueError
        (weights of another architecture).
        """
        if player in self._learners:
            weights = self._learners[player]
            weights = ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights
        else:
            data = self._store.get(player)
            weights, metadata = decode(data)
            if self._guests is not None and self._guests.seat(slot, data, metadata):
                self.players[slot] = player
                return
        if self._guests is not None:
            self._guests.leave(slot)
        self.players[slot] = None  # nobody, should the weights not fit half-way
        for name, stack in self._stacks.items():
            prefix = f"{name}/"
            stack.load(slot, {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)})
        self.players[slot] = player

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
    """One network's policy weights for every slot, stacked along a first axis."""

    def __init__(self, module: ActorCritic, capacity: int) -> None:
        self._module = module
        self._weights = {
            name: value.detach().expand(capacity, *value.shape).clone()
            for name, value in module.state_dict().items()
            if not name.startswith("value_head.")
        }
        self._policies = [copy.deepcopy(module.policy_head) for _ in range(capacity)]
        for slot, policy in enumerate(self._policies):
            # Each slot's own network is a view of the stacked weights: loading once serves both kinds of pass.
            for name, value in [*policy.named_parameters(), *policy.named_buffers()]:
                value.data = self._weights[f"policy_head.{name}"][slot]
        self._skeleton = copy.deepcopy(module.policy_head).to("meta")
        self._batched = vmap(self._policy)
        small = sum(value[0].numel() for value in self._weights.values()) <= STACK_UP_TO_PARAMETERS
        self._stacked = small and not module.memory_size  # torch has no stacked recurrent layers

    def load(self, slot: int, weights: Mapping[str, NDArray[Any]]) -> None:
        for name, stacked in self._weights.items():
            if name not in weights or weights[name].shape != stacked[slot].shape:
                raise ValueError(
                    f"the snapshot's weights do not fit this run's model (at {name}); was `model` changed?"
                )
            value = weights[name]  # may be read-only, in Ray's object store; it is only ever copied from
            stacked[slot].copy_(torch.as_tensor(value if value.flags.writeable else value.copy()))

    def act(
        self,
        slots: NDArray[Any],
        observations: Tensor,
        mask: Tensor | None,
        agents: Tensor | None,
        memory: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        order = np.argsort(slots, kind="stable")
        counts = np.bincount(slots, minlength=len(self._policies))
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
        if "log_std" in self._weights:
            return torch.cat([policy, self._weights["log_std"][torch.from_numpy(slots).to(device)]], dim=1), memory
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
        weights = {name.removeprefix("policy_head."): w for name, w in self._weights.items() if name != "log_std"}
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


def numpy_weights(modules: Mapping[str, nn.Module]) -> dict[str, NDArray[Any]]:
    """All weights of a player's networks under `network/parameter`, as the store keeps them (copies)."""
    return {
        f"{network}/{name}": value.detach().cpu().numpy().copy()
        for network, module in modules.items()
        for name, value in module.state_dict().items()
    }
