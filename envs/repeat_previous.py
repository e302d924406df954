"""Repeat Previous: the smallest task that cannot be done without a memory.

Symbols come at random, and each has to be named some steps after it was seen. As `RepeatPrevious` of POPGym (Morad et
al., 2023, "POPGym: benchmarking partially observable reinforcement learning"), with symbols in the place of suits and
rewards from 0 to 1. Whoever forgets is correct once in `num_symbols` times, and no more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Floats, Group, Ints, Step
from marl_app.envs.settings import require_integer


class RepeatPrevious(BatchedEnv):
    """`num_matches` matches of one agent, `length` steps each.

    num_symbols: >= 2. delay: >= 1; the symbol seen so many steps ago is to be named. length: > delay.

    Observation: the symbol that is shown now, one-hot, int8 [num_symbols]. Actions: the symbols. Each step but the
    first `delay` pays 1 / (length - delay) if the correct symbol is named, so a perfect match returns 1. Raises
    ValueError, naming the key, for settings that cannot be.
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
        # One symbol more than there are steps: what is shown after the last one.
        self._symbols: Ints = np.zeros((num_matches, length + 1), np.int64)
        self._steps: Ints = np.zeros(num_matches, np.int64)
        self._one_hot = np.eye(num_symbols, dtype=np.int8)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Draw the symbols of all or the given matches."""
        chosen = np.arange(self.num_matches) if matches is None else matches
        self._symbols[chosen] = rng.integers(len(self._one_hot), size=(len(chosen), self._length + 1))
        self._steps[chosen] = 0

    def acting(self) -> Bools:
        """The agent, always: bool [B, 1]."""
        return np.ones((self.num_matches, 1), np.bool_)

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """The symbols that are shown now, one-hot, int8 [R, num_symbols]."""
        return self._one_hot[self._symbols[matches, self._steps[matches]]]

    def action_mask(self, matches: Ints, agents: Ints) -> None:
        """Every symbol can always be named: None."""
        return None

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Compare what is named, int64 [B, 1], with what was shown."""
        target_steps = self._steps - self._delay
        correct = actions[0][:, 0] == self._symbols[np.arange(self.num_matches), target_steps]
        paid = (target_steps >= 0) & correct
        self._steps += 1
        over = self._steps == self._length
        rewards = (paid / (self._length - self._delay)).astype(np.float32)[:, None]
        return Step(rewards, over, np.zeros_like(over), over[:, None].copy())

    def scores(self, matches: Ints) -> Floats:
        """0.5, which says nothing: there is nobody to beat. float32 [K, 1]."""
        return np.full((len(matches), 1), 0.5, np.float32)
