"""Forward passes of an env runner: from observations to actions, for the trainee and its opponents."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from marl_app.players.modules.actor_critic import ActorCritic, Architecture
from marl_app.players.networks import Network, module_id, multi_module_spec
from marl_app.rllib.sampling.guests import Guests
from marl_app.rllib.sampling.matchups import TRAINEE
from marl_app.rllib.sampling.opponent_slots import OpponentSlots, tensor_view
from marl_app.store.reader import Reader

Array = NDArray[Any]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Decision:
    """Sampled actions [R, ...], their log-probabilities [R], the distribution's inputs [R, n] and the critic's values
    [R] (0 in rows that the trainee did not decide)."""

    actions: Array
    logp: Array
    inputs: Array
    values: Array


@dataclass(frozen=True)
class Observed:
    """Network inputs of R rows: observations [R, *shape] and, if the network uses them, legal actions bool [R, n],
    agent ids int64 [R], memories float32 [R, size] and global states float32 [R, size]."""

    observations: Tensor
    mask: Tensor | None = None
    agents: Tensor | None = None
    memory: Tensor | None = None
    state: Tensor | None = None

    def rows(self, indices: Tensor) -> Observed:
        """Return the inputs of the rows with these indices, int64 [K]."""

        def select(part: Tensor | None) -> Tensor | None:
            return None if part is None else part.index_select(0, indices)

        return Observed(
            observations=self.observations.index_select(0, indices),
            mask=select(self.mask),
            agents=select(self.agents),
            memory=select(self.memory),
            state=select(self.state),
        )


class PlayerNetworks:
    """The networks of the trainee, and the slots of its opponents: networks of the same architecture, or `guests`.

    `seconds` sums the time spent in forward passes.
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
        self.modules: dict[str, ActorCritic] = {
            network.name: self.module[module_id(learner, network.name, networks)].to(device).requires_grad_(False)
            for network in networks
        }
        self.opponents = OpponentSlots(networks, self.modules, opponent_slots, reader, guests)
        self.seconds = 0.0

    def set_trainee_weights(self, weights: Mapping[str, Array]) -> None:
        """Copy the weights of the trainee (`network/parameter`) into its networks."""
        # The tensors of a state_dict are the module's, so copying into them updates the module.
        for network, module in self.modules.items():
            for name, value in module.state_dict().items():
                value.copy_(tensor_view(weights[f"{network}/{name}"]))

    def decide(
        self, network: Network, observed: Observed, slots: Ints, opening: Bools, matches: Ints, agents: Ints
    ) -> tuple[Decision, Tensor | None]:
        """Sample an action for each row, and return the memories afterwards, [R, size], or None.

        `slots` int64 [R]: the opponent slot, or TRAINEE, that decides for the row. `opening` bool [R]: the action is
        random. `matches` and `agents`, int64 [R], tell guests which match and agent the row is of.
        """
        began = time.perf_counter()
        inputs, values, memory = self._forward(network, observed, slots, opening, matches, agents)
        # All players have the same action space, so one distribution samples the rows of all of them.
        dist = self.modules[network.name].get_exploration_action_dist_cls().from_logits(inputs)
        actions = dist.sample()
        decision = Decision(
            actions=actions.cpu().numpy(),
            logp=dist.logp(actions).cpu().numpy(),
            inputs=inputs.cpu().numpy(),
            values=values.cpu().numpy(),
        )
        self.seconds += time.perf_counter() - began
        return decision, memory

    def _forward(
        self, network: Network, observed: Observed, slots: Ints, opening: Bools, matches: Ints, agents: Ints
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return distribution inputs [R, n], values [R] (0 unless the trainee decides) and memories [R, size] or None.

        The rows are split by player: one pass of the trainee, guests, then one pass of all other opponents.
        """
        module = self.modules[network.name]
        # [R] bool each. Rows in a random opening belong to neither.
        trainee_rows = (slots == TRAINEE) & ~opening
        opponent_rows = (slots != TRAINEE) & ~opening
        # The usual case in self-play: pass the rows on without copying them.
        if trainee_rows.all():
            trainee_inputs, trainee_values, trainee_memory = module.act_and_value(
                observed.observations,
                mask=observed.mask,
                agents=observed.agents,
                memory=observed.memory,
                state=observed.state,
            )
            return trainee_inputs, trainee_values, trainee_memory

        # Rows in an opening keep these zeros as logits: every legal action has the same probability.
        num_outputs = module.policy_head.linear.out_features
        inputs = module.dist_inputs(torch.zeros((len(slots), num_outputs), device=self._device), observed.mask)
        values = torch.zeros(len(slots), device=self._device)
        memory = None if observed.memory is None else observed.memory.clone()

        # Guests choose actions themselves: `inputs` are of distributions that always sample these actions.
        if self.guests and (guest_rows := opponent_rows & self.guests.is_guest(slots)).any():
            opponent_rows &= ~guest_rows
            indices = self._indices(guest_rows)
            part = observed.rows(indices)
            inputs[indices] = self.guests.act(
                network.action_space,
                slots[guest_rows],
                matches[guest_rows],
                agents[guest_rows],
                part.observations,
                part.mask,
            )
        # Only the trainee has a critic.
        if trainee_rows.any():
            indices = self._indices(trainee_rows)
            part = observed.rows(indices)
            inputs[indices], values[indices], new_memory = module.act_and_value(
                part.observations, mask=part.mask, agents=part.agents, memory=part.memory, state=part.state
            )
            if memory is not None:
                memory[indices] = new_memory
        # All other opponents in one call, which groups the rows by slot.
        if opponent_rows.any():
            indices = self._indices(opponent_rows)
            part = observed.rows(indices)
            inputs[indices], new_memory = self.opponents.act(
                network.name,
                slots[opponent_rows],
                part.observations,
                mask=part.mask,
                agents=part.agents,
                memory=part.memory,
            )
            if memory is not None:
                memory[indices] = new_memory
        return inputs, values, memory

    def _indices(self, rows: Bools) -> Tensor:
        """Return the indices of the rows that are True, int64, on the device of the networks."""
        return torch.from_numpy(np.flatnonzero(rows)).to(self._device)

    def values(self, network: Network, observed: Observed) -> NDArray[np.float32]:
        """Return the values, float32 [R], of the trainee's critic of a network."""
        began = time.perf_counter()
        values: NDArray[np.float32] = (
            self.modules[network.name]
            .values(observed.observations, agents=observed.agents, memory=observed.memory, state=observed.state)
            .cpu()
            .numpy()
        )
        self.seconds += time.perf_counter() - began
        return values
