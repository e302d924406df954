"""Mixers: the value of a team from the values of its agents' actions.

Both are monotonic: the best action of each agent alone is part of the team's best joint action, so that agents can
choose alone. A mixer is a module of RLlib's learner next to the agents' networks. It is not used to play, so it is not
sent to env runners.
"""

from __future__ import annotations

from abc import abstractmethod

from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn

from marl_app.players.modules.heads import Normalize


class Mixer(TorchRLModule):
    """A mixer. `model_config`: `agents`, `state_size`, `mixing_embed_dim`, `hypernet_embed`, `normalize_state`."""

    needs_state = False

    @abstractmethod
    def mix(self, values: Tensor, state: Tensor | None) -> Tensor:
        """Return the team's values [R], from its agents' values [R, agents] and the global state [R, state size]."""

    def learn_statistics(self, state: Tensor) -> None:
        """Include rows [R, state size] in the running statistics, if states are normalized."""


class VDN(Mixer):
    """The sum of the agents' values.

    Sunehag et al., 2018, "Value-decomposition networks for cooperative multi-agent learning".
    """

    def setup(self) -> None:
        """Build nothing: a sum has no parameters."""

    def mix(self, values: Tensor, state: Tensor | None) -> Tensor:
        """Return the sum [R]."""
        return values.sum(dim=1)


class QMIX(Mixer):
    """A network of two layers; hypernetworks compute its nonnegative weights from the state (Rashid et al., 2018).

    As in the authors' PyMARL: two-layer hypernetworks for the weights, linear ones for the first bias, ELU between.
    The weights grow with the numbers in the state, and the square of that is what an agent's value, with all its error,
    is multiplied by: 20 or so where these are coordinates up to 8, as in foraging, and 1 where they are normalized.
    """

    needs_state = True

    def setup(self) -> None:
        """Build the hypernetworks."""
        config = self.model_config
        self.agents, self.width = config["agents"], config["mixing_embed_dim"]
        size, hidden = config["state_size"], config["hypernet_embed"]
        self.first_weights = _two_layers(size, hidden, self.agents * self.width)
        self.first_bias = nn.Linear(size, self.width)
        self.last_weights = _two_layers(size, hidden, self.width)
        self.last_bias = _two_layers(size, self.width, 1)
        self.normalize = Normalize((size,)) if config["normalize_state"] else nn.Identity()

    def learn_statistics(self, state: Tensor) -> None:
        """Include rows in the statistics of the state's normalization."""
        if isinstance(self.normalize, Normalize):
            self.normalize.update(state)

    def mix(self, values: Tensor, state: Tensor | None) -> Tensor:
        """Return values [R], monotonic in each agent's value."""
        assert state is not None
        state = self.normalize(state)
        # Nonnegative weights make the team's value increase with each agent's: [R, agents, width].
        weights = self.first_weights(state).abs().view(-1, self.agents, self.width)
        # [R, 1, agents] @ [R, agents, width] -> [R, width].
        hidden = nn.functional.elu((values[:, None] @ weights).squeeze(1) + self.first_bias(state))
        return (hidden * self.last_weights(state).abs()).sum(dim=1) + self.last_bias(state).squeeze(1)


def _two_layers(size: int, hidden: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


MIXERS: dict[str, type[Mixer]] = {"vdn": VDN, "qmix": QMIX}
