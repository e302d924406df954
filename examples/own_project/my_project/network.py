"""A network: dense layers whose outputs are added to their inputs (He et al., 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from marl_app.players.modules.actor_critic import ActorCritic, Architecture, dense


class ResidualBlock(nn.Module):
    """x + activation(W x)."""

    def __init__(self, width: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(width, width), activation())

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.layer(inputs)


class ResidualModule(ActorCritic):
    """The dense layers `hidden`, then `blocks` residual blocks."""

    def make_encoder(self) -> tuple[nn.Module, int]:
        size = int(np.prod(self.observation_space.shape))
        layers, width = dense(size, self.model_config["hidden"], self.activation)
        blocks = (ResidualBlock(width, self.activation) for _ in range(self.model_config["blocks"]))
        return nn.Sequential(layers, *blocks), width


@dataclass(frozen=True, kw_only=True)
class Residual(Architecture):
    """The settings of `model=my_residual`."""

    blocks: int = 2
    module_class: ClassVar[type[ActorCritic]] = ResidualModule

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blocks < 1:
            raise ValueError(f"model.blocks={self.blocks}: give at least 1")
