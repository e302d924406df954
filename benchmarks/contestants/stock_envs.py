"""The games behind RLlib's interface, as thin as can be: RLlib's own wrappers for PettingZoo are slower."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from mpe2 import simple_spread_v3
from pettingzoo.classic import connect_four_v3
from ray.rllib.env.multi_agent_env import MultiAgentEnv

CELLS, COLUMNS = 84, 7
OBSERVATIONS = spaces.Dict(  # the names that RLlib's action-masking module wants
    {
        "observations": spaces.Box(0.0, 1.0, (CELLS,), np.float32),
        "action_mask": spaces.Box(0.0, 1.0, (COLUMNS,), np.float32),
    }
)

Observations = dict[str, Any]


class TurnBasedConnectFour(MultiAgentEnv):
    """PettingZoo's game: the agent to move is observed, at the end of the game both are.

    RLlib's own `PettingZooEnv` hands over int8 boards that one more connector would have to flatten for each agent and
    step. The game is the raw one: a masked policy makes no illegal move that wrappers had to catch.
    """

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        super().__init__()
        self._game = connect_four_v3.raw_env()
        self.possible_agents = self.agents = list(self._game.possible_agents)
        self.observation_spaces = dict.fromkeys(self.agents, OBSERVATIONS)
        self.action_spaces = dict.fromkeys(self.agents, spaces.Discrete(COLUMNS))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observations, dict]:
        """An empty board."""
        self._game.reset(seed=seed)
        return self._observe([self._game.agent_selection]), {}

    def step(self, action_dict: dict[str, Any]) -> tuple[Observations, dict, dict, dict, dict]:
        """One ply."""
        game = self._game
        game.step(int(action_dict[game.agent_selection]))
        over = game.terminations[game.agent_selection]
        # The last observation goes to both agents: without one, a reward at a fragment's end would be lost.
        agents = self.agents if over else [game.agent_selection]
        rewards = {agent: float(game.rewards[agent]) for agent in agents}
        return self._observe(agents), rewards, {"__all__": over}, {"__all__": False}, {}

    def _observe(self, agents: list[str]) -> Observations:
        observations = {}
        for agent in agents:
            seen = self._game.observe(agent)
            observations[agent] = {
                "observations": seen["observation"].ravel().astype(np.float32),
                "action_mask": seen["action_mask"].astype(np.float32),
            }
        return observations


class SimultaneousSpread(MultiAgentEnv):
    """mpe2's Simple Spread, N=3, local_ratio 0.5, 25 steps.

    RLlib's `ParallelPettingZooEnv` steps it through PettingZoo's checks and conversions, which almost doubles the time.
    """

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        super().__init__()
        self._game = simple_spread_v3.raw_env(N=3, local_ratio=0.5, max_cycles=25)
        self.possible_agents = self.agents = list(self._game.possible_agents)
        self.observation_spaces = {agent: self._game.observation_space(agent) for agent in self.agents}
        self.action_spaces = {agent: self._game.action_space(agent) for agent in self.agents}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observations, dict]:
        """All bodies at random places."""
        self._game.reset(seed=seed)
        return self._observe(), {}

    def step(self, action_dict: dict[str, Any]) -> tuple[Observations, dict, dict, dict, dict]:
        """One step of all agents: the game moves when the last of them has said what it does."""
        game = self._game
        for agent in self.agents:
            game.step(int(action_dict[agent]))
        over = game.truncations[self.agents[0]]
        return self._observe(), dict(game.rewards), {"__all__": False}, {"__all__": over}, {}

    def _observe(self) -> Observations:
        return {agent: self._game.observe(agent) for agent in self.agents}
