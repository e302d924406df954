"""The two-step game of the QMIX paper: the first action of agent 0 chooses the payoff table that both agents then play.

Rashid et al., "QMIX" (2018), section 5. In the first step the action of agent 0 chooses table 2A or 2B, and the reward
is 0. In the second step table 2A pays 7 for any actions, and table 2B [[0, 1], [1, 8]]. The best return is 8, if both
agents always play 1. A team value that is the sum of the values of the agents (VDN) cannot represent this, and its
greedy policy gets 7.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Float32s, Group, Ints, Step, scores_from_returns

PAYOFFS: Float32s = np.array([[[7, 7], [7, 7]], [[0, 1], [1, 8]]], np.float32)
"""The reward of both agents for each table (2A, 2B) and pair of actions: [2, 2, 2]."""


class TwoStep(BatchedEnv):
    """`num_matches` games of two steps. Both agents get the same reward.

    Observation, and global state: one-hot of the state (first step, 2A, 2B), float32 [3].
    """

    agents = ("agent_0", "agent_1")
    groups = (Group("agent", (0, 1), spaces.Box(0.0, 1.0, (3,), np.float32), spaces.Discrete(2)),)
    sides = ((0, 1),)
    state_space = spaces.Box(0.0, 1.0, (3,), np.float32)

    def __init__(self, num_matches: int) -> None:
        self.num_matches = num_matches
        self._state_index: Ints = np.zeros(num_matches, np.int64)  # [B]: 0 first step, 1 table 2A, 2 table 2B
        self._returns: Float32s = np.zeros((num_matches, 2), np.float32)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Start all or the given matches; `rng` is not used."""
        chosen = slice(None) if matches is None else matches
        self._state_index[chosen] = 0
        self._returns[chosen] = 0

    def acting(self) -> Bools:
        """Return True for both agents: bool [B, 2]."""
        return np.ones((self.num_matches, 2), np.bool_)

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """Return the state of the match of each row, one-hot: float32 [R, 3]."""
        return self.state(matches)

    def state(self, matches: Ints) -> Float32s:
        """Return the state of each match, one-hot: float32 [K, 3]."""
        states: Float32s = np.eye(3, dtype=np.float32)[self._state_index[matches]]
        return states

    def action_mask(self, matches: Ints, agents: Ints) -> None:
        """Return None: every action is always legal."""
        return None

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Choose a table, or pay; `actions` is one array int64 [B, 2]. Raises ValueError for an illegal action."""
        chosen = actions[0]
        illegal = ((chosen < 0) | (chosen > 1)).nonzero()
        if illegal[0].size:
            match, agent = illegal[0][0], illegal[1][0]
            raise ValueError(f"two_step: illegal action {chosen[match, agent]} of {self.agents[agent]}: not 0 or 1")
        over = self._state_index > 0
        # In the first step the index -1 reads the last table; `where` discards that value.
        paid = np.where(over, PAYOFFS[self._state_index - 1, chosen[:, 0], chosen[:, 1]], 0).astype(np.float32)
        self._state_index = np.where(over, self._state_index, 1 + chosen[:, 0])
        rewards = np.stack([paid, paid], axis=1)
        self._returns += rewards
        return Step.of_matches(rewards, over, np.zeros_like(over))

    def scores(self, matches: Ints) -> Float32s:
        """Return 0.5, float32 [K, 1]: a single side."""
        return scores_from_returns(self._returns[matches], self.sides)
