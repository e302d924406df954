"""The games with RLlib's `MultiAgentEnv` interface and minimal overhead; RLlib's wrappers for PettingZoo are slower."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from mpe2 import simple_spread_v3
from pettingzoo.classic import connect_four_v3
from ray.rllib.env.multi_agent_env import MultiAgentEnv

CELLS, COLUMNS = 84, 7
OBSERVATIONS = spaces.Dict(  # the names that RLlib's action-masking module requires
    {
        "observations": spaces.Box(0.0, 1.0, (CELLS,), np.float32),
        "action_mask": spaces.Box(0.0, 1.0, (COLUMNS,), np.float32),
    }
)

Observations = dict[str, Any]
Rewards = dict[str, float]
Flags = dict[str, bool]
Infos = dict[str, Any]


class TurnBasedConnectFour(MultiAgentEnv):
    """PettingZoo's Connect Four: observations of the agent to move, and of both agents at the end of a match.

    RLlib's `PettingZooEnv` returns int8 boards, which an additional connector would have to flatten for each agent and
    step. The raw environment is enough: a masked policy makes no illegal moves, which the wrappers check.
    """

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        super().__init__()
        self._game = connect_four_v3.raw_env()
        self.possible_agents = self.agents = list(self._game.possible_agents)
        self.observation_spaces = dict.fromkeys(self.agents, OBSERVATIONS)
        self.action_spaces: dict[str, spaces.Discrete[np.int64]] = dict.fromkeys(self.agents, spaces.Discrete(COLUMNS))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observations, Infos]:
        """Empty the board."""
        self._game.reset(seed=seed)
        return self._observe([self._game.agent_selection]), {}

    def step(self, action_dict: dict[str, Any]) -> tuple[Observations, Rewards, Flags, Flags, Infos]:
        """Play one ply."""
        game = self._game
        game.step(int(action_dict[game.agent_selection]))
        over = game.terminations[game.agent_selection]
        # Both agents get the last observation: RLlib loses a reward at the end of a fragment without an observation.
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

    RLlib's `ParallelPettingZooEnv` also runs PettingZoo's checks and conversions, which almost double the time.
    """

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        super().__init__()
        self._game = simple_spread_v3.raw_env(N=3, local_ratio=0.5, max_cycles=25)
        self.possible_agents = self.agents = list(self._game.possible_agents)
        self.observation_spaces = {agent: self._game.observation_space(agent) for agent in self.agents}
        self.action_spaces = {agent: self._game.action_space(agent) for agent in self.agents}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observations, Infos]:
        """Put all bodies at random positions."""
        self._game.reset(seed=seed)
        return self._observe(), {}

    def step(self, action_dict: dict[str, Any]) -> tuple[Observations, Rewards, Flags, Flags, Infos]:
        """Step all agents; the game moves after the action of the last agent."""
        game = self._game
        # The raw environment takes the actions one by one, in the order of the agents.
        for agent in self.agents:
            game.step(int(action_dict[agent]))
        over = game.truncations[self.agents[0]]
        return self._observe(), dict(game.rewards), {"__all__": False}, {"__all__": over}, {}

    def _observe(self) -> Observations:
        return {agent: self._game.observe(agent) for agent in self.agents}
