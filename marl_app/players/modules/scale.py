"""Scaling of observations by the bounds of their space, so that networks see numbers of about 1.

Images and counters reach a network as 0..255 otherwise, and its first update is a leap: PPO's ratio explodes and the
policy becomes deterministic. Numbers whose bounds are not finite, or so large that they say nothing, stay as they are:
`model.normalize_observations` learns their scale.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from marl_app.envs.batched import LARGEST_BOUND

Float32s = NDArray[np.float32]

LARGEST_UNSCALED = {"integer": 1.0, "float": 10.0}
"""Bounds up to this size are left alone: one-hot boards, angles, velocities."""


class Scaling(NamedTuple):
    """x -> factor * x + bias, float32 of the shape of an observation."""

    factor: Float32s
    bias: Float32s

    def __call__(self, values: NDArray[np.generic]) -> Float32s:
        """Return scaled values [..., *shape], float32."""
        scaled: Float32s = values.astype(np.float32) * self.factor + self.bias
        return scaled


def scaling_of(space: spaces.Box) -> Scaling | None:
    """Return what maps numbers with large bounds to [0, 1], or to [-1, 1] if they can be negative; None: no number."""
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    size = np.maximum(np.abs(low), np.abs(high))  # [*shape]
    kind = "float" if np.issubdtype(space.dtype, np.floating) else "integer"
    chosen = (size > LARGEST_UNSCALED[kind]) & (size <= LARGEST_BOUND)  # False for infinite bounds
    if not chosen.any():
        return None
    low, high = np.where(chosen, low, 0.0), np.where(chosen, high, 1.0)  # [0, 1] -> [0, 1]: no change
    # A number that cannot vary becomes 0, or -1.
    span, negative = np.where(high > low, high - low, 1.0), low < 0
    factor = np.where(negative, 2.0, 1.0) / span
    bias = -low * factor - np.where(negative, 1.0, 0.0)
    return Scaling(factor.astype(np.float32), bias.astype(np.float32))


def description(space: spaces.Box) -> str | None:
    """Return what is scaled, for the user; None if nothing is."""
    scaling = scaling_of(space)
    if scaling is None:
        return None
    # [*shape] bool: numbers that are scaled at all.
    changed = (scaling.factor != 1) | (scaling.bias != 0)
    low, high = space.low[changed].min(), space.high[changed].max()
    target = "[-1, 1]" if low < 0 else "[0, 1]"
    part = "" if changed.all() else f"{int(changed.sum())} of {changed.size} numbers, "
    return f"{part}from [{low:g}, {high:g}] to {target}"


class Scale(nn.Module):
    """A layer that scales rows [R, *shape] of any dtype: float32. It has no parameters: the space has the bounds.

    The constants stay numpy arrays: tensors would have to be made again for each device, and those that are made while
    torch records no gradients cannot be used where it does.
    """

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        self._scaling = scaling

    def forward(self, inputs: Tensor) -> Tensor:
        factor, bias = (torch.from_numpy(values).to(inputs.device) for values in self._scaling)
        return inputs.float() * factor + bias
