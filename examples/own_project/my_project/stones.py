"""Stones: two players take 1 to 3 stones in turn; the player who takes the last stone wins.

The known optimum: leave a multiple of four. With 21 stones the player who moves first wins by taking one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Float32s, Group, Ints, Step


class Stones(BatchedEnv):
    """`num_matches` games of `stones` stones.

    Observation: the stones that are left, one-hot, int8 [stones + 1]. Action: 0 to 2, for taking 1 to 3 stones.
    """

    agents = ("player_0", "player_1")
    sides = ((0,), (1,))

    def __init__(self, num_matches: int, stones: int = 21) -> None:
        if stones < 1:
            raise ValueError(f"stones must be >= 1, not {stones}")
        self.num_matches = num_matches
        self.groups = (Group("player", (0, 1), spaces.Box(0, 1, (stones + 1,), np.int8), spaces.Discrete(3)),)
        self._stones = stones
        self._left: Ints = np.full(num_matches, stones)  # [matches]
        self._mover: Ints = np.zeros(num_matches, np.int64)  # [matches]: the agent whose turn it is

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        chosen = slice(None) if matches is None else matches
        self._left[chosen] = self._stones
        self._mover[chosen] = 0

    def acting(self) -> Bools:
        return self._mover[:, None] == np.arange(2)

    def observe(self, matches: Ints, agents: Ints) -> Array:
        return np.eye(self._stones + 1, dtype=np.int8)[self._left[matches]]

    def action_mask(self, matches: Ints, agents: Ints) -> Bools:
        return np.arange(1, 4) <= self._left[matches, None]

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        rows = np.arange(self.num_matches)
        taken = actions[0][rows, self._mover] + 1
        if ((taken < 1) | (taken > np.minimum(3, self._left))).any():
            raise ValueError("stones: take 1 to 3 stones, and not more than are left")
        self._left -= taken
        ended = self._left == 0
        rewards = np.zeros((self.num_matches, 2), np.float32)
        rewards[rows, self._mover] = ended
        rewards[rows, 1 - self._mover] = -ended.astype(np.float32)
        self._mover = 1 - self._mover
        return Step.of_matches(rewards, ended, np.zeros_like(ended))

    def scores(self, matches: Ints) -> Float32s:
        # The mover changed after the last stone was taken: the winner is the agent that does not move now.
        return (np.arange(2) != self._mover[matches, None]).astype(np.float32)
