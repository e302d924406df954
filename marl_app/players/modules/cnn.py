"""Convolutional networks: for boards and for images, observations [R, height, width, planes].

A move is a square of the board, so a board keeps its size through same-padded convolutions. An image is reduced by
strides, as in Mnih et al. (2015, "Human-level control through deep reinforcement learning"), whose network is the
default of RLlib and Stable-Baselines3 for images.
"""

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


SMALLEST_IMAGE = 36
"""Height and width from which an observation is an image: the smallest that the strided convolutions can take."""


def is_image_shape(shape: Sequence[int]) -> bool:
    """Return whether observations of this shape are images for `CNNModule`: at least 36 x 36."""
    return len(shape) == 3 and min(shape[:2]) >= SMALLEST_IMAGE


class CNNModule(ActorCritic):
    """A network of convolutions, then dense layers of the widths `hidden`.

    Boards: same-padded convolutions with `filters` channels. Images (at least 36 x 36): `image_filters`.
    """

    def make_encoder(self) -> tuple[nn.Module, int]:
        """Return the convolutions for the shape of the observations, then dense layers."""
        shape = self.observation_space.shape
        if len(shape) != 3:
            raise ValueError(f"model=cnn needs observations [height, width, planes], not {shape}; use model=mlp")
        height, width, planes = shape
        # (channels, kernel, stride) of each convolution. Players of before 0.3.0 have no `image_filters`.
        image_filters = self.model_config.get("image_filters")
        is_image = image_filters is not None and is_image_shape(shape)
        kernel = self.model_config["kernel"]
        filters = image_filters if is_image else [(channels, kernel, 1) for channels in self.model_config["filters"]]
        layers: list[nn.Module] = [ChannelsFirst()]
        for channels, kernel, stride in filters:
            padding: str | int = 0 if is_image else "same"
            layers += [nn.Conv2d(planes, channels, kernel, stride, padding), self.activation()]
            planes = channels
            if is_image:
                # The size after a convolution without padding.
                height, width = ((size - kernel) // stride + 1 for size in (height, width))
        if min(height, width) < 1:
            raise ValueError(f"model.image_filters={image_filters}: nothing is left of observations of shape {shape}")
        head, features = dense(planes * height * width, self.model_config["hidden"], self.activation)
        return nn.Sequential(*layers, head), features


@dataclass(frozen=True, kw_only=True)
class CNN(Architecture):
    """The option `model=cnn`: convolutions, then dense layers of the widths `hidden`.

    filters, kernel: for boards, the channels of each convolution and their common size.
    image_filters: for images, [channels, kernel, stride] of each convolution (RLlib's `conv_filters`); None: images
        are treated as boards, as before 0.3.0.
    """

    filters: Sequence[int] = (64, 64, 64)
    kernel: int = 3
    image_filters: Sequence[Sequence[int]] | None = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
    hidden: Sequence[int] = (128,)
    module_class: ClassVar[type[ActorCritic]] = CNNModule

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("model.filters", self.filters)
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"model.kernel={self.kernel}: give an odd size, so that the board keeps its size")
        for layer in self.image_filters or ():
            if not isinstance(layer, list | tuple) or len(layer) != 3 or min(layer) < 1:
                raise ValueError(f"model.image_filters: {layer} is not [channels, kernel, stride], each at least 1")
