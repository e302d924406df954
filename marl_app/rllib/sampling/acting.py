"""The minds of an env runner: the networks of the trainee and of frozen opponents, from observations to actions."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from marl_app.players.modules.actor_critic import Architecture
from marl_app.players.networks import Network, module_id, multi_module_spec
from marl_app.rllib.sampling.guests import Guests
from marl_app.rllib.sampling.matchups import TRAINEE
from marl_app.rllib.sampling.opponent_slots import OpponentSlots
from marl_app.store.reader import Reader

Array = NDArray[Any]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Decision:
    """Sampled actions [R, ...], their log-probabilities [R], the distributions' inputs [R, n] and the critic's values
    [R] (0 in rows that the trainee did not decide)."""

    actions: Array
    logp: Array
    inputs: Array
    values: Array


@dataclass(frozen=True)
class Seen:
    """What networks see in some rows: observations [R, *shape], and where there are any, legal actions [R, n], agent
    ids [R], memories [R, size] and global states [R, size]."""

    observations: Tensor
    mask: Tensor | None = None
    agents: Tensor | None = None
    memory: Tensor | None = None
    state: Tensor | None = None

    def of(self, rows: Tensor) -> Seen:
        """Some of the rows."""
        parts = (None if part is None else part.index_select(0, rows) for part in vars(self).values())
        return Seen(*parts)


class Policies:
    """The networks of the trainee, and the slots of its opponents, which have the same architecture or are `guests`.

    `seconds` adds up the time spent in networks.
    """

    def __init__(
        self,
        learner: str,
        networks: Sequence[Network],
        architecture: Architecture,
        opponent_slots: int,
        reader: Reader,
        device: torch.device,
        guests: Guests,
    ) -> None:
        self._device = device
        self.guests = guests
        self.module = multi_module_spec([learner], networks, architecture).build()
        self.modules = {
            network.name: self.module[module_id(learner, network.name, networks)].to(device).requires_grad_(False)
            for network in networks
        }
        self.opponents = OpponentSlots(networks, self.modules, opponent_slots, reader, guests)
        self.seconds = 0.0

    def load(self, weights: Mapping[str, Array]) -> None:
        """Take over the trainee's weights (`network/parameter`)."""
        for network, module in self.modules.items():
            for name, value in module.state_dict().items():
                value.copy_(_tensor(weights[f"{network}/{name}"]))

    def decide(
        self, network: Network, seen: Seen, players: Ints, opening: Bools, matches: Ints, agents: Ints
    ) -> tuple[Decision, Tensor | None]:
        """Sample an action for each row: by the player (a slot, or TRAINEE) of the row, or at random in an opening.

        With the memories after it, [R, size].
        """
        began = time.perf_counter()
        inputs, values, memory = self._think(network, seen, players, opening, matches, agents)
        dist = self.modules[network.name].get_exploration_action_dist_cls().from_logits(inputs)
        actions = dist.sample()
        decision = Decision(*(part.cpu().numpy() for part in (actions, dist.logp(actions), inputs, values)))
        self.seconds += time.perf_counter() - began
        return decision, memory

    def _think(
        self, network: Network, seen: Seen, players: Ints, opening: Bools, matches: Ints, agents: Ints
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Distribution inputs [R, n] (uniform ones in random openings), values [R], and memories [R, size] or None."""
        module = self.modules[network.name]
        ours, theirs = (players == TRAINEE) & ~opening, (players != TRAINEE) & ~opening
        if ours.all():
            return module.act_and_value(*vars(seen).values())
        # Openings keep the zeros: every legal move is equally likely.
        size = module.policy_head.linear.out_features
        inputs = module.dist_inputs(torch.zeros((len(players), size), device=self._device), seen.mask)
        values = torch.zeros(len(players), device=self._device)
        memory = None if seen.memory is None else seen.memory.clone()
        if self.guests and (rows := np.flatnonzero(theirs & self.guests.among(players))).size:
            theirs[rows] = False
            at = torch.from_numpy(rows).to(self._device)
            some = seen.of(at)
            inputs[at] = self.guests.act(
                network.action_space, players[rows], matches[rows], agents[rows], some.observations, some.mask
            )
        for chosen in (ours, theirs):
            rows = np.flatnonzero(chosen)
            if not len(rows):
                continue
            at = torch.from_numpy(rows).to(self._device)
            some = seen.of(at)
            if chosen is ours:
                inputs[at], values[at], after = module.act_and_value(*vars(some).values())
            else:
                inputs[at], after = self.opponents.act(
                    network.name, players[rows], some.observations, some.mask, some.agents, some.memory
                )
            if memory is not None:
                memory[at] = after
        return inputs, values, memory

    def values(self, network: Network, seen: Seen) -> NDArray[np.float32]:
        """The trainee's critic of one network: values, float32 [R]."""
        began = time.perf_counter()
        values = self.modules[network.name].values(seen.observations, seen.agents, seen.memory, seen.state)
        self.seconds += time.perf_counter() - began
        return values.cpu().numpy()


def _tensor(value: Array) -> torch.Tensor:
    """A tensor over an array that may be read-only (Ray's object store); it is only ever copied from."""
    return torch.from_numpy(value if value.flags.writeable else value.copy())
