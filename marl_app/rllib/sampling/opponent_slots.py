"""Opponent slots: the opponents that an env runner holds besides its trainee, and their forward passes.

A slot holds one snapshot, loaded by its digest and verified by the reader, or another learner with its current weights,
which come with the request. An env runner has `capacity` slots, so its memory does not grow with the pool.

Small networks are stacked: weights are copied into one array [capacity, ...] per parameter, and rows of many opponents
take ONE batched forward pass (`torch.func.vmap`), padded to the slot with the most rows. Large networks take one pass
per slot over exactly its rows. Their weights are views of the fetched bytes: where these are memory that the processes
of a node share (a rack cache's, or Ray's), opponents take no memory of the process. So these bytes are never written.
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

Array = NDArray[Any]
Ints = NDArray[np.int64]

# torch cannot protect the memory of read-only arrays, and warns about it. Tensors over them are only read here.
warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)

STACK_UP_TO_PARAMETERS = 50_000
"""Larger networks fill the core with the rows of one slot: with 2x512 layers and 16 opponents, a pass per slot took
0.75 of the time of the stacked pass; with 2x64 layers the stacked pass took 0.8 of the other's, and 0.2 with 64
opponents."""


LOG_STD = "log_std"
"""The parameter of continuous actions that is not part of the policy head."""


class OpponentSlots:
    """At most `capacity` opponents, ready to play. `players`: the digest or learner's id in each slot, or None.

    modules: the trainee's networks by name, whose architecture the opponents share.
    guests: handles opponents of other architectures and bots; None: such opponents are not expected.
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
        self._weights_by_network = {network.name: _SlotWeights(modules[network.name], capacity) for network in networks}
        self._learner_weights: Mapping[str, Any] = {}  # id -> weights, by value or in Ray's object store
        self.players: list[str | None] = [None] * capacity

    def slot_of(self, player: str) -> int | None:
        """Return the slot that holds a player (a digest or a learner's id), or None."""
        return self.players.index(player) if player in self.players else None

    def set_learner_weights(self, weights_by_learner: Mapping[str, Any]) -> None:
        """Set the current weights of opponents that are learners, and reload those that are in a slot.

        Weights are given by learner's id, by value or in Ray's object store.
        """
        self._learner_weights = weights_by_learner
        for slot, player in enumerate(self.players):
            if player is not None and player in weights_by_learner:
                self.load_player(slot, player)

    def load_player(self, slot: int, player: str) -> None:
        """Load a player (a digest or a learner's id) into a slot; no running match may use what the slot held before.

        The exception is a learner that is replaced by its newer weights.

        Raises KeyError (not in the store), store.codec.CorruptBlob (bytes that do not match the digest), OSError (the
        store does not answer) or ValueError (weights of another architecture).
        """
        # A learner's weights came with the request; a snapshot is fetched, and may turn out to be a guest.
        if player in self._learner_weights:
            weights = self._learner_weights[player]
            weights = ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights
        else:
            in_use = [digest for digest in self.resident_digests if digest != self.players[slot]]
            data = self._fetch(player, in_use)
            weights, metadata = decode_views(data)
            if self._guests is not None and self._guests.load_if_guest(slot, data, metadata):
                self.players[slot] = player
                for slot_weights in self._weights_by_network.values():
                    slot_weights.clear(slot)
                return
        if self._guests is not None:
            self._guests.clear(slot)
        # The slot counts as empty until all networks are loaded: if one does not fit, the others are loaded already.
        self.players[slot] = None
        for name, slot_weights in self._weights_by_network.items():
            prefix = f"{name}/"
            slot_weights.load(
                slot, {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}
            )
        self.players[slot] = player

    def _fetch(self, digest: str, in_use: Sequence[str]) -> Buffer:
        """Fetch a snapshot and count the time for which matches wait."""
        began = time.monotonic()
        try:
            return self._reader.get(digest, in_use)
        finally:
            self._reader.traffic.waited += time.monotonic() - began

    def prefetch(self, digests: Iterable[str]) -> None:
        """Start fetching snapshots that will be loaded next and are in no slot, if the reader can prefetch."""
        if isinstance(self._reader, PrefetchingReader):
            self._reader.prefetch([digest for digest in digests if digest not in self.players], self.resident_digests)

    @property
    def resident_digests(self) -> tuple[str, ...]:
        """The digests of the snapshots in the slots."""
        return tuple(player for player in self.players if player is not None and is_digest(player))

    @property
    def rack(self) -> str:
        """The name of the rack from which snapshots are fetched."""
        return self._reader.rack

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights in all slots."""
        return sum(slot_weights.weight_bytes for slot_weights in self._weights_by_network.values())

    def pop_traffic(self) -> Traffic:
        """Return what loading has transferred since the last call."""
        return self._reader.traffic.pop_totals()

    def act(
        self,
        network: str,
        slots: Ints,
        observations: Tensor,
        mask: Tensor | None,
        agents: Tensor | None,
        memory: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return distribution inputs [R, n] of rows, each from the opponent in `slots` int64 [R], and memories."""
        return self._weights_by_network[network].act(slots, observations, mask, agents, memory)


class _SlotWeights:
    """The policy weights of one network for every slot: stacked, or as one module per slot."""

    def __init__(self, module: ActorCritic, capacity: int) -> None:
        self._module = module
        self._capacity = capacity
        policy_weights = {
            name: value for name, value in module.state_dict().items() if not name.startswith("value_head.")
        }
        self._like = {name: value.to("meta") for name, value in policy_weights.items()}  # shapes and dtypes
        self._device = next(iter(policy_weights.values())).device
        self._skeleton = copy.deepcopy(module.policy_head).to("meta")  # a module without memory for weights
        # vmap maps over the first dimension of weights and inputs, [capacity, ...], as if calling each slot's network.
        self._batched_policy = vmap(self._policy)
        is_small = sum(value.numel() for value in policy_weights.values()) <= STACK_UP_TO_PARAMETERS
        # Lookup tables of any size: a row reads the entries of its slot.
        self._is_indexed = hasattr(module, "outputs_of_slots")
        # There are no stacked recurrent layers in torch.
        self.is_stacked = self._is_indexed or (is_small and module.can_stack and not module.memory_size)
        # Parameter name -> [capacity, *shape]; of networks that are not stacked, only LOG_STD. `clone` gives every slot
        # separate memory, which `expand` does not.
        self._stack = {
            name: value.detach().expand(capacity, *value.shape).clone()
            for name, value in policy_weights.items()
            if self.is_stacked or name == LOG_STD
        }
        self._modules: dict[int, nn.Module] = {}  # slot -> policy head, if networks are not stacked

    @property
    def weight_bytes(self) -> int:
        module_weights = [value for module in self._modules.values() for value in module.state_dict().values()]
        return sum(value.nbytes for value in [*self._stack.values(), *module_weights])

    def load(self, slot: int, weights: Mapping[str, Array]) -> None:
        """Load weights, by parameter name, into a slot. Raises ValueError if they do not fit."""
        for name, like in self._like.items():
            if name not in weights or weights[name].shape != like.shape:
                raise ValueError(
                    f"the snapshot's weights do not fit this run's model (at {name}); was `model` changed?"
                )
        # Stacked weights are copied into the slot's place; others stay where they are (below).
        for name, stacked in self._stack.items():
            stacked[slot].copy_(tensor_view(weights[name]))
        if not self.is_stacked:
            module = copy.deepcopy(self._skeleton)
            # `to` returns the view itself unless the device or dtype differs; `assign` keeps it instead of copying.
            parameters = {
                name.removeprefix("policy_head."): tensor_view(weights[name]).to(self._device, like.dtype)
                for name, like in self._like.items()
                if name != LOG_STD
            }
            module.load_state_dict(parameters, assign=True)
            self._modules[slot] = module

    def clear(self, slot: int) -> None:
        """Release the weights of a slot (a stacked slot's are overwritten by the next `load`)."""
        self._modules.pop(slot, None)

    def act(
        self,
        slots: Ints,
        observations: Tensor,
        mask: Tensor | None,
        agents: Tensor | None,
        memory: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """As `OpponentSlots.act`."""
        if self._is_indexed:
            slot = torch.from_numpy(slots).to(observations.device)
            return self._module.dist_inputs(self._module.outputs_of_slots(self._stack, slot, observations), mask), None
        # Sort the rows by slot, so that the rows of a slot are contiguous.
        order = np.argsort(slots, kind="stable")
        counts = np.bincount(slots, minlength=self._capacity)  # [capacity]: rows of each slot
        device = observations.device
        row_indices = torch.from_numpy(order).to(device)
        observations = observations.index_select(0, row_indices)
        agents = None if agents is None else agents.index_select(0, row_indices)
        memory = None if memory is None else memory.index_select(0, row_indices)
        if self.is_stacked:
            sorted_outputs = self._stacked_pass(slots[order], counts, observations, agents)
        else:
            sorted_outputs, memory = self._pass_per_slot(counts, observations, agents, memory)
        # Restore the original order: sorted row i was row `order[i]`.
        outputs = torch.empty_like(sorted_outputs)
        outputs[row_indices] = sorted_outputs
        if memory is not None:
            memory = torch.empty_like(memory).index_copy_(0, row_indices, memory)
        if LOG_STD in self._stack:
            # [R, 2 * dimensions]: means and log standard deviations, as `ActorCritic.dist_inputs`, but per slot.
            log_std = self._stack[LOG_STD][torch.from_numpy(slots).to(device)]
            return torch.cat([outputs, log_std], dim=1), memory
        return self._module.dist_inputs(outputs, mask), memory

    def _policy(self, weights: Mapping[str, Tensor], observations: Tensor, agents: Tensor) -> Tensor:
        """Return the policy head's outputs [rows, size] with the weights of one slot."""
        outputs: Tensor = functional_call(self._skeleton, weights, (observations, agents))[0]
        return outputs

    def _stacked_pass(self, slots: Ints, counts: Ints, observations: Tensor, agents: Tensor | None) -> Tensor:
        """Return the outputs [R, size] of rows sorted by slot, in one batched pass."""
        # Row r is row `place[r]` of slot `slot[r]`: its index minus the index of the first row of that slot.
        first_row = np.cumsum(counts) - counts  # [capacity]
        place = torch.from_numpy(np.arange(len(slots)) - first_row[slots]).to(observations.device)
        slot = torch.from_numpy(slots).to(observations.device)
        # [capacity, rows of the fullest slot, ...]; the padding of zeros is computed too, and not read.
        padded = observations.new_zeros((len(counts), int(counts.max()), *observations.shape[1:]))
        padded[slot, place] = observations
        padded_agents = padded.new_zeros(padded.shape[:2], dtype=torch.int64)
        if agents is not None:
            padded_agents[slot, place] = agents
        weights = {name.removeprefix("policy_head."): w for name, w in self._stack.items() if name != LOG_STD}
        outputs: Tensor = self._batched_policy(weights, padded, padded_agents)[slot, place]
        return outputs

    def _pass_per_slot(
        self, counts: Ints, observations: Tensor, agents: Tensor | None, memory: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the outputs [R, size] and memories [R, ...] of rows sorted by slot, in one pass per slot with rows."""
        outputs: list[Tensor] = []
        new_memories: list[Tensor] = []
        start = 0
        # The rows of a slot are one slice, since the rows are sorted by slot.
        for slot in np.flatnonzero(counts).tolist():
            rows = slice(start, start + counts[slot])
            slot_outputs, new_memory = self._modules[slot](
                observations[rows],
                agents=None if agents is None else agents[rows],
                memory=None if memory is None else memory[rows],
            )
            outputs.append(slot_outputs)
            if memory is not None:
                new_memories.append(new_memory)
            start = rows.stop
        return torch.cat(outputs), torch.cat(new_memories) if memory is not None else None


def tensor_view(array: Array) -> Tensor:
    """Return a tensor that shares the array's memory, which may be read-only: it must only be read."""
    return torch.from_numpy(array)


def weights_to_numpy(modules: Mapping[str, nn.Module]) -> dict[str, Array]:
    """Return copies of all weights of a player's networks under `network/parameter`, the format of the store."""
    return {
        f"{network}/{name}": value.detach().cpu().numpy().copy()
        for network, module in modules.items()
        for name, value in module.state_dict().items()
    }
