"""A multi-layer perceptron over flattened observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from marl_app.rllib.modules.actor_critic import ActorCritic, Architecture, check_widths, orthogonal


class Flatten(nn.Module):
    """Observation rows of any shape and dtype -> float32 [R, features]."""

    def forward(self, observations: Tensor) -> Tensor:
        return observations.flatten(1).float()


class MLPModule(ActorCritic):
    """Dense layers of the widths `hidden` in `model_config`."""

    def make_encoder(self) -> tuple[nn.Module, int]:
        """Flatten, then one dense layer and activation per width."""
        widths = [int(np.prod(self.observation_space.shape)), *self.model_config["hidden"]]
        layers: list[nn.Module] = [Flatten()]
        for size, width in zip(widths[:-1], widths[1:], strict=True):
            layers += [orthogonal(nn.Linear(size, width)), self.activation()]
        return nn.Sequential(*layers), widths[-1]


@dataclass(frozen=True, kw_only=True)
class MLP(Architecture):
    """The `model=mlp` choice: dense layers of the widths `hidden`."""

    hidden: Sequence[int] = (512, 512)
    module_class: ClassVar[type[ActorCritic]] = MLPModule

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("model.hidden", self.hidden)
