"""Conversion of actions: a policy's to the environment's, and the environment's to distribution inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from marl_app.envs.batched import LARGEST_BOUND

Array = NDArray[Any]

CERTAIN_LOGIT = 1e4  # of an action that is always sampled; the logits of all others are 0
CERTAIN_LOG_STD = -20.0  # of a continuous action that is always sampled: deviations of 2e-9


def to_space(actions: Array, space: spaces.Space[Any]) -> Array:
    """Return a policy's actions [R, ...] in the environment's units.

    Box actions in [-1, 1] are scaled to the bounds and clipped, as by RLlib's `normalize_actions`; dimensions whose
    bounds are not finite, or too large to mean anything, are clipped only, and all other spaces are not changed.
    """
    if not isinstance(space, spaces.Box):
        return actions
    actions = actions.reshape(len(actions), *space.shape)
    low, high, bounded = _bounds(space)
    scaled = low + (np.clip(actions, -1.0, 1.0) + 1.0) * 0.5 * (high - low)
    # The last clip is for rounding to float32.
    result: Array = np.clip(np.where(bounded, scaled, actions).astype(space.dtype), space.low, space.high)
    return result


def affine(space: spaces.Box) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (factor, bias), each [*action shape], of what `to_space` does to Box actions besides clipping."""
    low, high, _ = _bounds(space)
    factor = (high - low) * 0.5  # 1 without bounds, where low is -1 and high 1
    return factor.astype(np.float32), (low + factor).astype(np.float32)


def _bounds(space: spaces.Box) -> tuple[Array, Array, Array]:
    """Return (low, high, bounded), each [*action shape]; low is -1 and high 1 where the space is not bounded."""
    bounded = np.maximum(np.abs(space.low), np.abs(space.high)) <= LARGEST_BOUND  # False for infinity
    return np.where(bounded, space.low, -1.0), np.where(bounded, space.high, 1.0), bounded


def deterministic_inputs(actions: Array, space: spaces.Space[Any]) -> NDArray[np.float32]:
    """Return inputs [R, n] of the distribution that always samples these actions [R, ...] of the environment."""
    actions = np.asarray(actions)
    if isinstance(space, spaces.Box):
        # The inverse of `to_space`, which maps means in [-1, 1] to the bounds. Without bounds: low -1, high 1.
        low, high, _ = _bounds(space)
        span = np.where(high > low, high - low, 1.0)  # an action that cannot vary has the mean -1
        means = ((actions.reshape(-1, *space.shape) - low) / span * 2.0 - 1.0).reshape(len(actions), -1)
        return np.concatenate([means, np.full_like(means, CERTAIN_LOG_STD)], axis=1).astype(np.float32)
    assert isinstance(space, spaces.Discrete | spaces.MultiDiscrete)
    sizes = [int(space.n)] if isinstance(space, spaces.Discrete) else [int(size) for size in space.nvec]
    parts = actions.reshape(len(actions), len(sizes)).T  # [parts of an action, R]
    one_hot = [np.arange(size) == part[:, None] for size, part in zip(sizes, parts, strict=True)]
    return np.concatenate(one_hot, axis=1).astype(np.float32) * np.float32(CERTAIN_LOGIT)
