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

from marl_app.rllib.experience import Critic
from marl_app.rllib.matchups import TRAINEE
from marl_app.rllib.modules.actor_critic import Architecture
from marl_app.rllib.networks import Network, module_id, multi_module_spec
from marl_app.rllib.opponents import OpponentSlots
from marl_app.store.store import Store

Array = NDArray[Any]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

CRITIC_ROWS = 8192
"""Rows per forward pass of the critic: enough to fill the core, little enough to stay in its caches."""


@dataclass(frozen=True)
class Decision:
    """Sampled actions [R, ...], their log-probabilities [R] and the distributions' inputs [R, n]."""

    actions: Array
    logp: Array
    inputs: Array


class Policies:
    """The networks of the trainee, and the slots of its opponents, which have the same architecture.

    `seconds` adds up the time spent in networks.
    """

    def __init__(
        self,
        learner: str,
        networks: Sequence[Network],
        architecture: Architecture,
        opponent_slots: int,
        store: Store,
        device: torch.device,
    ) -> None:
        self._device = device
        self.module = multi_module_spec(learner, networks, architecture).build()
        self.modules = {
            network.name: self.module[module_id(learner, network.name, networks)].to(device).requires_grad_(False)
            for network in networks
        }
        self.opponents = OpponentSlots(networks, self.modules, opponent_slots, store)
        self.seconds = 0.0

    def load(self, weights: Mapping[str, Array]) -> None:
        """Take over the trainee's weights (`network/parameter`)."""
        for network, module in self.modules.items():
            for name, value in module.state_dict().items():
                value.copy_(_tensor(weights[f"{network}/{name}"]))

    def decide(
        self, network: Network, observations: Array, mask: Array | None, agents: Ints, players: Ints, opening: Bools
    ) -> Decision:
        """Sample an action for each row: by the player (a slot, or TRAINEE) of the row, or at random in an opening."""
        began = time.perf_counter()
        inputs = self._dist_inputs(network, observations, mask, agents, players, opening)
        dist = self.modules[network.name].get_exploration_action_dist_cls().from_logits(inputs)
        actions = dist.sample()
        decision = Decision(*(values.cpu().numpy() for values in (actions, dist.logp(actions), inputs)))
        self.seconds += time.perf_counter() - began
        return decision

    def _dist_inputs(
        self, network: Network, observations: Array, mask: Array | None, agents: Ints, players: Ints, opening: Array
    ) -> Tensor:
        """Distribution inputs [R, n]: the trainee's rows, each opponent's rows, and uniform ones in random openings."""
        module = self.modules[network.name]
        seen = torch.from_numpy(observations).to(self._device)
        legal = None if mask is None else torch.from_numpy(mask).to(self._device)
        ids = torch.from_numpy(agents).to(self._device) if network.num_agents else None
        ours, theirs = (players == TRAINEE) & ~opening, (players != TRAINEE) & ~opening
        if ours.all():
            return module.act(seen, legal, ids)
        parts: list[tuple[Ints, Tensor]] = []
        for chosen in (ours, theirs):
            rows = np.flatnonzero(chosen)
            if not len(rows):
                continue
            at = torch.from_numpy(rows).to(self._device)
            some = [None if values is None else values.index_select(0, at) for values in (seen, legal, ids)]
            if chosen is ours:
                parts.append((at, module.act(*some)))
            else:
                parts.append((at, self.opponents.act(network.name, players[rows], *some)))
        # Openings keep the zeros: every legal move is equally likely.
        size = module.policy_head.linear.out_features
        inputs = module.dist_inputs(torch.zeros((len(agents), size), device=self._device), legal)
        for at, part in parts:
            inputs[at] = part
        return inputs

    def critic(self, network: Network) -> Critic:
        """The trainee's critic of one network: observation rows and agent ids (or None) -> values, float32 [R]."""
        module = self.modules[network.name]

        def values(observations: Array, agents: Array | None) -> NDArray[np.float32]:
            began = time.perf_counter()
            parts = []
            for start in range(0, len(observations), CRITIC_ROWS):
                rows = slice(start, start + CRITIC_ROWS)
                ids = None if agents is None else torch.from_numpy(agents[rows]).to(self._device)
                parts.append(module.values(torch.from_numpy(observations[rows]).to(self._device), ids).cpu().numpy())
            self.seconds += time.perf_counter() - began
            return np.concatenate(parts) if parts else np.zeros(0, np.float32)

        return values


def _tensor(value: Array) -> torch.Tensor:
    """A tensor over an array that may be read-only (Ray's object store); it is only ever copied from."""
    return torch.from_numpy(value if value.flags.writeable else value.copy())
