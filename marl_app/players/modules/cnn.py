"""A small convolutional network for boards: observations [R, height, width, planes], as PettingZoo's board games."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from marl_app.players.modules.actor_critic import ActorCritic, Architecture, check_widths, dense


class ChannelsFirst(nn.Module):
    """A layer that turns [R, height, width, planes] of any dtype into float32 [R, planes, height, width]."""

    def forward(self, observations: Tensor) -> Tensor:
        return observations.float().permute(0, 3, 1, 2)


class CNNModule(ActorCritic):
    """A network of same-padded convolutions with `filters` channels, then dense layers of the widths `hidden`."""

    def make_encoder(self) -> tuple[nn.Module, int]:
        """Return convolutions that keep the board's size, because a move is a square of it, then dense layers."""
        shape = self.observation_space.shape
        if len(shape) != 3:
            raise ValueError(f"model=cnn needs observations [height, width, planes], not {shape}; use model=mlp")
        height, width, planes = shape
        channels = [planes, *self.model_config["filters"]]
        layers: list[nn.Module] = [ChannelsFirst()]
        for inputs, outputs in zip(channels[:-1], channels[1:], strict=True):
            layers += [nn.Conv2d(inputs, outputs, self.model_config["kernel"], padding="same"), self.activation()]
        head, features = dense(channels[-1] * height * width, self.model_config["hidden"], self.activation)
        return nn.Sequential(*layers, head), features


@dataclass(frozen=True, kw_only=True)
class CNN(Architecture):
    """The option `model=cnn`: `filters` channels per convolution of size `kernel`, then dense `hidden` widths."""

    filters: Sequence[int] = (64, 64, 64)
    kernel: int = 3
    hidden: Sequence[int] = (128,)
    module_class: ClassVar[type[ActorCritic]] = CNNModule

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("model.filters", self.filters)
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"model.kernel={self.kernel}: give an odd size, so that the board keeps its size")
