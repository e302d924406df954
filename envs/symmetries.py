"""Symmetries of a game: other views in which an agent may see a match, such as the mirror image of a board.

A view permutes the entries of the observation and the actions. Whatever holds of a match holds of its view: an agent
that acts in a view plays the same game.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Ints = NDArray[np.int64]
Indices = tuple[tuple[int, ...], ...]


class Symmetries(NamedTuple):
    """The S views of a group of agents with Discrete actions; view 0 is the original.

    observations: S permutations. Entry i of a flattened observation in view s is entry `observations[s][i]` of the
        original.
    actions: S permutations. Action i in view s is action `actions[s][i]` of the original.
    """

    observations: Indices
    actions: Indices

    @classmethod
    def from_arrays(cls, observations: Sequence[Array], actions: Sequence[Array]) -> Symmetries:
        """Return symmetries given index arrays of any shape, one per view, the original first.

        So `np.arange(size).reshape(shape)`, flipped, is the flipped board.
        """
        return cls(*(tuple(tuple(array.ravel().tolist()) for array in arrays) for arrays in (observations, actions)))


class Views:
    """The index arrays of symmetries: from the original to a view and back, for rows R that have a view each."""

    def __init__(self, symmetries: Symmetries) -> None:
        self.count = len(symmetries.actions)
        self._observations: Ints = np.array(symmetries.observations)  # [S, observation size]
        self._actions: Ints = np.array(symmetries.actions)  # [S, n]
        # [S, n]: the inverse permutations; action a of the original is action `_inverse[s, a]` in view s.
        self._inverse: Ints = np.argsort(self._actions, axis=1)

    def observations(self, rows: Array, views: Ints) -> Array:
        """Return observation rows [R, *shape] in the views [R]."""
        flat = rows.reshape(len(rows), -1)
        return np.take_along_axis(flat, self._observations[views], axis=1).reshape(rows.shape)

    def masks(self, masks: Array, views: Ints) -> Array:
        """Return legal-action masks [R, n] in the views [R]."""
        return np.take_along_axis(masks, self._actions[views], axis=1)

    def actions(self, actions: Ints, views: Ints) -> Ints:
        """Return original actions [R] as they are in the views [R]."""
        result: Ints = self._inverse[views, actions]
        return result

    def original_actions(self, actions: Ints, views: Ints) -> Ints:
        """Return what actions [R] of the views [R] are in the original."""
        result: Ints = self._actions[views, actions]
        return result

    def original_probabilities(self, probabilities: Array, views: Ints) -> Array:
        """Return the probabilities [R, n] of actions in the views [R] in the order of the original."""
        return np.take_along_axis(probabilities, self._inverse[views], axis=1)
