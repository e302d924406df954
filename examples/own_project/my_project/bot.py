"""A bot: the best strategy of Stones, as an opponent in evaluations and in the pool."""

from __future__ import annotations

from typing import Any

import numpy as np

from marl_app.envs.batched import Array, BatchedEnv, Bools, Ints


class Optimal:
    """Leaves a multiple of four stones; where that is impossible, takes a random number of stones."""

    memory_size = 0

    def __init__(self, env: BatchedEnv) -> None:
        """The environment may be read here, but not kept."""

    def act(
        self, observations: Array, masks: Bools | None, agents: Ints, /, *, rng: np.random.Generator, **unused: Any
    ) -> Ints:
        """Return the number of stones to take, minus one, for each row; `greedy` and `memory` have no effect."""
        left = observations.argmax(axis=1)  # [rows]
        random = rng.integers(np.clip(left, 1, 3))
        return np.where(left % 4, left % 4 - 1, random)
