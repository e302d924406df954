"""Nim, as an AEC environment of PettingZoo: players take any number of stones from one heap, in turn.

The player who takes the last stone wins. Known optimum: leave heaps whose exclusive or is 0.
"""

import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv

HEAPS = (3, 4, 5)
MOST = max(HEAPS)


class Nim(AECEnv):
    """Observation: the heaps, one-hot, int8 [heaps, MOST + 1]. Action: heap * MOST + stones - 1."""

    metadata = {"name": "nim", "render_modes": ["ansi"], "is_parallelizable": False}  # noqa: RUF012

    def __init__(self, heaps: tuple[int, ...] = HEAPS, render_mode: str | None = None) -> None:
        self.possible_agents = ["first", "second"]
        self.render_mode = render_mode
        self._start = np.array(heaps)
        board, moves = spaces.Box(0, 1, (len(heaps), MOST + 1), np.int8), len(heaps) * MOST
        self._observed = spaces.Dict({"observation": board, "action_mask": spaces.Box(0, 1, (moves,), np.int8)})
        self._moves = spaces.Discrete(moves)

    def observation_space(self, agent: str) -> spaces.Space:
        return self._observed

    def action_space(self, agent: str) -> spaces.Space:
        return self._moves

    def reset(self, seed: int | None = None, options: dict | None = None) -> None:
        self.agents = self.possible_agents[:]
        self.heaps = self._start.copy()
        self.agent_selection = self.agents[0]
        self.rewards, self._cumulative_rewards = dict.fromkeys(self.agents, 0), dict.fromkeys(self.agents, 0)
        self.terminations, self.truncations = dict.fromkeys(self.agents, False), dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}

    def observe(self, agent: str) -> dict[str, np.ndarray]:
        legal = np.arange(1, MOST + 1) <= self.heaps[:, None]  # [heaps, MOST]
        return {
            "observation": np.eye(MOST + 1, dtype=np.int8)[self.heaps],
            "action_mask": legal.ravel().astype(np.int8),
        }

    def step(self, action: int | None) -> None:
        if self.terminations[self.agent_selection]:
            self._was_dead_step(action)
            return
        mover = self.agent_selection
        other = self.agents[1 - self.agents.index(mover)]
        heap, taken = divmod(int(action), MOST)
        self.heaps[heap] -= taken + 1
        self._cumulative_rewards[mover] = 0
        if not self.heaps.any():
            self.rewards = {mover: 1, other: -1}
            self.terminations = dict.fromkeys(self.agents, True)
        self.agent_selection = other
        self._accumulate_rewards()

    def render(self) -> str:
        return " ".join(map(str, self.heaps))

    def action_name(self, agent: str, action: int) -> str:  # what people see in task=play; without it, the number
        heap, taken = divmod(int(action), MOST)
        return f"{taken + 1} from heap {heap + 1}"


env = Nim  # what env.name=nim looks for
