"""Mixers: the value of a team from the values of its agents' actions.

Both are monotonic: what is best for each agent alone is best for the team, so that agents may choose alone. A mixer is
a module of RLlib's learner beside the agents' networks. Nobody plays with it, so it stays there.
"""

from __future__ import annotations

from abc import abstractmethod

from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn

from marl_app.players.modules.heads import Normalize


class Mixer(TorchRLModule):
    """`model_config` keys: `agents`, `state_size`, `mixing_embed_dim`, `hypernet_embed` and `normalize_state`."""

    needs_state = False

    @abstractmethod
    def mix(self, values: Tensor, state: Tensor | None) -> Tensor:
        """Values [R] of the team, from those of its agents [R, agents] and the global state [R, state size]."""

    def learn_statistics(self, state: Tensor) -> None:
        """Update the running statistics of normalized states, where there are any, with rows [R, state size]."""


class VDN(Mixer):
    """The sum (Sunehag et al., 2018, "Value-decomposition networks for cooperative multi-agent learning")."""

    def setup(self) -> None:
        """Nothing to build."""

    def mix(self, values: Tensor, state: Tensor | None) -> Tensor:
        """The sum [R]."""
        return values.sum(dim=1)


class QMIX(Mixer):
    """A network of two layers whose weights are made from the state, and are not negative (Rashid et al., 2018).

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
        """As Mixer."""
        if isinstance(self.normalize, Normalize):
            self.normalize.update(state)

    def mix(self, values: Tensor, state: Tensor | None) -> Tensor:
        """Values [R], growing in each agent's."""
        assert state is not None
        state = self.normalize(state)
        weights = self.first_weights(state).abs().view(-1, self.agents, self.width)
        hidden = nn.functional.elu((values[:, None] @ weights).squeeze(1) + self.first_bias(state))
        return (hidden * self.last_weights(state).abs()).sum(dim=1) + self.last_bias(state).squeeze(1)


def _two_layers(size: int, hidden: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


MIXERS: dict[str, type[Mixer]] = {"vdn": VDN, "qmix": QMIX}
