"""Repeat Previous: the smallest task that cannot be solved without a memory.

A random symbol is shown in every step; the agent must name the symbol that was shown `delay` steps before. After
`RepeatPrevious` of POPGym (Morad et al., 2023, "POPGym: benchmarking partially observable reinforcement learning").
Where we differ: symbols instead of suits of cards, and returns from 0 to 1. Without a memory the expected return is
1 / num_symbols.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Float32s, Group, Ints, Step
from marl_app.envs.settings import require_integer


class RepeatPrevious(BatchedEnv):
    """`num_matches` matches of one agent, `length` steps each.

    num_symbols: >= 2. delay: >= 1, the age in steps of the symbol to be named. length: > delay.

    Observation: the symbol shown now, one-hot, int8 [num_symbols]. Actions: the symbols. Each step after the first
    `delay` steps pays 1 / (length - delay) for the correct symbol, so a perfect match returns 1. Raises ValueError,
    naming the key, for a setting out of range.
    """

    agents = ("player_0",)
    sides = ((0,),)

    def __init__(self, num_matches: int, num_symbols: int = 4, delay: int = 2, length: int = 16) -> None:
        require_integer("num_symbols", num_symbols, 2)
        require_integer("delay", delay, 1)
        require_integer("length", length, delay + 1)
        self.num_matches = num_matches
        self._delay, self._length = delay, length
        seen = spaces.Box(0, 1, (num_symbols,), np.int8)
        self.groups = (Group("player", (0,), seen, spaces.Discrete(num_symbols)),)
        # int64 [B, length + 1]: all symbols of a match, drawn at its reset; the last is shown after the last step.
        self._symbols: Ints = np.zeros((num_matches, length + 1), np.int64)
        self._steps: Ints = np.zeros(num_matches, np.int64)
        self._one_hot = np.eye(num_symbols, dtype=np.int8)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Draw the symbols of all or the given matches."""
        chosen = np.arange(self.num_matches) if matches is None else matches
        self._symbols[chosen] = rng.integers(len(self._one_hot), size=(len(chosen), self._length + 1))
        self._steps[chosen] = 0

    def acting(self) -> Bools:
        """Return True for the agent: bool [B, 1]."""
        return np.ones((self.num_matches, 1), np.bool_)

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """Return the symbols shown now, one-hot, int8 [R, num_symbols]."""
        return self._one_hot[self._symbols[matches, self._steps[matches]]]

    def action_mask(self, matches: Ints, agents: Ints) -> None:
        """Return None: every action is always legal."""
        return None

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Compare the named symbols, `actions` = one array int64 [B, 1], with those shown `delay` steps before."""
        # Negative in the first `delay` steps: the index then reads the wrong symbol, which `paid` discards.
        target_steps = self._steps - self._delay
        correct = actions[0][:, 0] == self._symbols[np.arange(self.num_matches), target_steps]
        paid = (target_steps >= 0) & correct
        self._steps += 1
        over = self._steps == self._length
        rewards = (paid / (self._length - self._delay)).astype(np.float32)[:, None]
        return Step.of_matches(rewards, over, np.zeros_like(over))

    def scores(self, matches: Ints) -> Float32s:
        """Return 0.5, float32 [K, 1]: a single side."""
        return np.full((len(matches), 1), 0.5, np.float32)
