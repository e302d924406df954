"""A multi-layer perceptron over flattened observations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn

from marl_app.players.modules.actor_critic import ActorCritic, Architecture, dense


class MLPModule(ActorCritic):
    """A network of dense layers with the widths `hidden` in `model_config`."""

    def make_encoder(self) -> tuple[nn.Module, int]:
        """Return a flattening layer, then one dense layer and activation per width."""
        return dense(int(np.prod(self.observation_space.shape)), self.model_config["hidden"], self.activation)


@dataclass(frozen=True, kw_only=True)
class MLP(Architecture):
    """The option `model=mlp`: dense layers of the widths `hidden`."""

    module_class: ClassVar[type[ActorCritic]] = MLPModule
