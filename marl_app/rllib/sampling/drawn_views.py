"""The symmetric views in which the trainee's agents see their matches, one drawn per match and agent.

Training in random views shows a network every position of a board in all its symmetric forms. The policy that is
trained is the one that acts in a random view, so that the experience is on-policy: observations, masks and actions of
training columns are those of the view.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from marl_app.envs.batched import BatchedEnv
from marl_app.envs.symmetries import Views

Array = NDArray[Any]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


class DrawnViews:
    """The view of each agent in each of B matches, kept from the start of the match to its end."""

    def __init__(self, env: BatchedEnv) -> None:
        # Per group: the index arrays, or None for a group without symmetries.
        self._views = [None if group.symmetries is None else Views(group.symmetries) for group in env.groups]
        self._count = max(views.count for views in self._views if views is not None)
        self._drawn: Ints = np.zeros((env.num_matches, len(env.agents)), np.int64)  # [B, agents]

    def draw(self, matches: Ints, is_trainee: Bools, rng: np.random.Generator) -> None:
        """Draw views for matches [K] that start; agents of opponents, False in bool [K, agents], see the original."""
        # [K, agents]: a number of a view; view 0 is the original.
        self._drawn[matches] = np.where(is_trainee, rng.integers(self._count, size=is_trainee.shape), 0)

    def observations(self, group: int, rows: Array, matches: Ints, agents: Ints) -> Array:
        """Return the observation rows [R, *shape] of agents [R] in matches [R] in their views."""
        views = self._views[group]
        return rows if views is None else views.observations(rows, self._drawn[matches, agents])

    def masks(self, group: int, masks: Array, matches: Ints, agents: Ints) -> Array:
        """Return the legal-action masks [R, n] in their views."""
        views = self._views[group]
        return masks if views is None else views.masks(masks, self._drawn[matches, agents])

    def original_actions(self, group: int, actions: Array, matches: Ints, agents: Ints) -> Array:
        """Return what the actions [R] chosen in the views are in the environment."""
        views = self._views[group]
        return actions if views is None else views.original_actions(actions, self._drawn[matches, agents])
