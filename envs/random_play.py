"""Uniformly random legal actions for any batched environment: for checks, openings and the weakest opponent."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import LARGEST_BOUND, Array, BatchedEnv, Bools, Float32s, Group, Ints


def rows_by_group(env: BatchedEnv, chosen: Bools) -> Iterator[tuple[int, Ints, Ints, Ints]]:
    """Split the chosen agents (bool [B, agents]) into rows of one group each; groups without a row are left out.

    Yields (group index, matches [R], agents [R], places in the group [R]).
    """
    for index, group in enumerate(env.groups):
        members = np.array(group.agents)
        matches, places = chosen[:, members].nonzero()
        if len(matches):
            yield index, matches, members[places], places


def random_actions(env: BatchedEnv, rng: np.random.Generator) -> list[Array]:
    """Draw a legal action per acting agent: for each group an array [B, n_group, *action shape], as `step` takes it."""
    actions = [
        np.zeros(
            (env.num_matches, len(group.agents), *(group.action_space.shape or ())),
            np.float32 if isinstance(group.action_space, spaces.Box) else np.int64,
        )
        for group in env.groups
    ]
    for index, matches, agents, places in rows_by_group(env, env.acting()):
        mask = env.action_mask(matches, agents)
        actions[index][matches, places] = _random_rows(env.groups[index], len(matches), mask, rng)
    return actions


def _random_rows(group: Group, count: int, mask: Bools | None, rng: np.random.Generator) -> Array:
    """Draw `count` actions of a group, [count, *action shape]; `mask` is bool [count, mask_size]."""
    space = group.action_space
    if isinstance(space, spaces.Box):
        return _random_points(space, count, rng)
    # The argmax of uniform random numbers over the legal actions is a uniform legal action.
    scores = rng.random((count, group.mask_size))
    if mask is not None:
        scores[~mask] = -1.0
    if isinstance(space, spaces.Discrete):
        best: Ints = np.argmax(scores, axis=1)
        return best
    # MultiDiscrete: a mask row holds the masks of all parts, one after the other.
    parts = np.split(scores, np.cumsum(space.nvec)[:-1], axis=1)
    return np.stack([np.argmax(part, axis=1) for part in parts], axis=1)


def _random_points(space: spaces.Box, count: int, rng: np.random.Generator) -> Float32s:
    """Draw [count, *shape]: uniform between bounds; normal and clipped where a bound is infinite or a placeholder."""
    size = (count, *space.shape)
    bounded = np.maximum(np.abs(space.low), np.abs(space.high)) <= LARGEST_BOUND
    low, high = np.where(bounded, space.low, 0.0), np.where(bounded, space.high, 0.0)
    points = np.where(bounded, rng.uniform(low, high, size), rng.standard_normal(size))
    clipped: Float32s = np.clip(points.astype(np.float32), space.low, space.high)
    return clipped
