"""The two-step game of the QMIX paper: one agent's first action chooses the table that both then play.

Rashid et al., 2018, section 5. In the first step agent 0's action chooses table 2A or 2B, and nothing is paid. In the
second, table 2A pays 7 whatever is played, and table 2B [[0, 1], [1, 8]]. The best is 8, by playing 1 twice; a team
whose value is the sum of its agents' values cannot say so, and settles for 7.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Floats, Group, Ints, Step, scores_from_returns

PAYOFFS: Floats = np.array([[[7, 7], [7, 7]], [[0, 1], [1, 8]]], np.float32)
"""What both agents get in table 2A, then 2B, for each pair of actions: [2, 2, 2]."""


class TwoStep(BatchedEnv):
    """`num_matches` games of two steps. Both agents get the same reward.

    Observation, and state: which of the three states it is (the first, 2A, 2B), one-hot, float32 [3].
    """

    agents = ("agent_0", "agent_1")
    groups = (Group("agent", (0, 1), spaces.Box(0.0, 1.0, (3,), np.float32), spaces.Discrete(2)),)
    sides = ((0, 1),)
    state_space = spaces.Box(0.0, 1.0, (3,), np.float32)

    def __init__(self, num_matches: int) -> None:
        self.num_matches = num_matches
        self._state_index: Ints = np.zeros(num_matches, np.int64)
        self._returns: Floats = np.zeros((num_matches, 2), np.float32)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Start all or the given matches; `rng` is not used."""
        chosen = slice(None) if matches is None else matches
        self._state_index[chosen] = 0
        self._returns[chosen] = 0

    def acting(self) -> Bools:
        """Both agents, always: bool [B, 2]."""
        return np.ones((self.num_matches, 2), np.bool_)

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """The state of each row's match, one-hot: float32 [R, 3]."""
        return self.state(matches)

    def state(self, matches: Ints) -> Floats:
        """float32 [K, 3]."""
        states: Floats = np.eye(3, dtype=np.float32)[self._state_index[matches]]
        return states

    def action_mask(self, matches: Ints, agents: Ints) -> None:
        """Every action is always legal: None."""
        return None

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Choose a table, or pay out; `actions` is one array int64 [B, 2]. Raises ValueError for an unknown action."""
        chosen = actions[0]
        illegal = ((chosen < 0) | (chosen > 1)).nonzero()
        if illegal[0].size:
            match, agent = illegal[0][0], illegal[1][0]
            raise ValueError(f"two_step: illegal action {chosen[match, agent]} of {self.agents[agent]}: not 0 or 1")
        over = self._state_index > 0
        paid = np.where(over, PAYOFFS[self._state_index - 1, chosen[:, 0], chosen[:, 1]], 0).astype(np.float32)
        self._state_index = np.where(over, self._state_index, 1 + chosen[:, 0])
        rewards = np.stack([paid, paid], axis=1)
        self._returns += rewards
        return Step(rewards, over, np.zeros_like(over), np.stack([over, over], axis=1))

    def scores(self, matches: Ints) -> Floats:
        """0.5: there is one side. float32 [K, 1]."""
        return scores_from_returns(self._returns[matches], self.sides)
