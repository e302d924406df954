"""A multi-layer perceptron over flattened observations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from marl_app.rllib.modules.actor_critic import ACTIVATIONS, PRECISIONS, ActorCritic, orthogonal


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


@dataclass(frozen=True)
class MLP:
    """The `model=mlp` choice: `hidden` widths, `activation` (relu | tanh | silu), one encoder for both heads or two,
    and the encoders' `precision` (auto | bfloat16 | float32)."""

    hidden: Sequence[int] = (512, 512)
    activation: str = "relu"
    vf_share_layers: bool = False
    precision: str = "auto"
    module_class: ClassVar[type[ActorCritic]] = MLPModule

    def __post_init__(self) -> None:
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("precision", self.precision, PRECISIONS)
        check_widths("model.hidden", self.hidden)

    @property
    def model_config(self) -> dict[str, Any]:
        """What the RLModule is built from."""
        return {
            "hidden": list(self.hidden),
            "activation": self.activation,
            "vf_share_layers": self.vf_share_layers,
            "precision": self.precision,
        }


def check_choice(key: str, value: str, choices: Iterable[str]) -> None:
    """ValueError, naming the key and the choices, unless the value is one of them."""
    if value not in choices:
        raise ValueError(f"model.{key}={value}: choose one of {', '.join(choices)}")


def check_widths(key: str, widths: Sequence[int]) -> None:
    """ValueError unless there is at least one layer and every width is positive."""
    if not isinstance(widths, list | tuple) or not widths or min(widths) < 1:
        raise ValueError(f"{key}={widths}: give a list of at least one layer, every width at least 1, e.g. [64, 64]")
