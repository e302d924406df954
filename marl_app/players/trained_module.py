"""A network as the RLModule that RLlib trains: the same weights by the same names, with RLlib's interface in front.

Networks themselves are plain torch, so that a saved player plays without Ray.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import torch
from gymnasium import spaces
from ray.rllib.core.distribution.torch.torch_distribution import (
    TorchCategorical,
    TorchDiagGaussian,
    TorchMultiCategorical,
)
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule

from marl_app.players.modules.actor_critic import ActorCritic

# RLModule's own constructor triggers RLlib's deprecation warning, for every module in every process.
logging.getLogger("ray._common.deprecation").setLevel(logging.ERROR)

# torch checks the arguments of every new distribution, so in every forward pass: a tenth of the time of acting.
torch.distributions.Distribution.set_default_validate_args(False)


class TrainedModule(TorchRLModule):
    """The RLModule's part of a network that RLlib trains. The other part is a subclass of `ActorCritic`."""

    action_dist_cls: Any

    def setup(self) -> None:
        """Build the network, and choose the distribution of its actions if it has not chosen one itself."""
        super().setup()
        if self.action_dist_cls is None:
            self.action_dist_cls = distribution_class(self.action_space)


@cache
def trained_class(network: type[ActorCritic]) -> type[TrainedModule]:
    """Return the RLModule class of a network class: one class per process, so that equal specs are equal.

    Methods are looked up in TrainedModule, TorchRLModule, `network`, ActorCritic, nn.Module, RLModule: the constructor
    is RLlib's, and `_forward` the network's. Ray pickles the class by value, which is safe: it has no code of its own.
    """
    return type(network.__name__, (TrainedModule, network, ValueFunctionAPI), {"__doc__": network.__doc__})


def distribution_class(space: spaces.Space[Any]) -> Any:
    """Return RLlib's class of the distribution whose inputs `ActorCritic.dist_inputs` returns."""
    if isinstance(space, spaces.Discrete):
        return TorchCategorical
    if isinstance(space, spaces.MultiDiscrete):
        return TorchMultiCategorical.get_partial_dist_cls(input_lens=[int(n) for n in space.nvec])
    return TorchDiagGaussian
