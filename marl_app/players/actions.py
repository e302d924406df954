"""Actions on their way to the environment, and the other way: as the distribution that always gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Array = NDArray[Any]

CERTAIN = 1e4  # logit of an action that is sure to be sampled
NARROW = -20.0  # log standard deviation of a continuous one


def to_space(actions: Array, space: spaces.Space) -> Array:
    """A policy's actions as the environment takes them: Box actions in [-1, 1] are scaled to the bounds and clipped.

    As RLlib's `normalize_actions`; unbounded dimensions pass unchanged.
    """
    if not isinstance(space, spaces.Box):
        return actions
    actions = actions.reshape(len(actions), *space.shape)
    bounded = np.isfinite(space.low) & np.isfinite(space.high)
    scaled = space.low + (np.clip(actions, -1.0, 1.0) + 1.0) * 0.5 * (space.high - space.low)
    return np.where(bounded, scaled, np.clip(actions, space.low, space.high)).astype(space.dtype)


def deterministic_inputs(actions: Array, space: spaces.Space) -> NDArray[np.float32]:
    """Inputs [R, n] of the distribution that always samples these actions [R, ...] of the environment."""
    actions = np.asarray(actions)
    if isinstance(space, spaces.Box):
        bounded = np.isfinite(space.low) & np.isfinite(space.high)
        low, high = np.where(bounded, space.low, -1.0), np.where(bounded, space.high, 1.0)
        means = ((actions.reshape(-1, *space.shape) - low) / (high - low) * 2.0 - 1.0).reshape(len(actions), -1)
        return np.concatenate([means, np.full_like(means, NARROW)], axis=1).astype(np.float32)
    assert isinstance(space, spaces.Discrete | spaces.MultiDiscrete)
    sizes = [int(space.n)] if isinstance(space, spaces.Discrete) else [int(size) for size in space.nvec]
    parts = actions.reshape(len(actions), len(sizes)).T
    one_hot = [np.arange(size) == part[:, None] for size, part in zip(sizes, parts, strict=True)]
    return np.concatenate(one_hot, axis=1).astype(np.float32) * np.float32(CERTAIN)
