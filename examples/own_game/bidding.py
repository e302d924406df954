"""Bidding, as a Parallel environment of PettingZoo: two players bid for five prizes at the same time.

Each has ten coins for all rounds. Both pay their bids; the higher bid wins the round's prize, equal bids win nothing,
and more prizes win the match.
"""

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

COINS, ROUNDS = 10, 5


class Bidding(ParallelEnv):
    """Observation: own coins, the other's, round, own lead, in [-1, 1]. Action: the bid, at most the own coins."""

    metadata = {"name": "bidding", "render_modes": ["ansi"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.possible_agents = ["left", "right"]
        self.render_mode = render_mode
        seen, mask = spaces.Box(-1, 1, (4,), np.float32), spaces.Box(0, 1, (COINS + 1,), np.int8)
        self._observed = spaces.Dict({"observation": seen, "action_mask": mask})
        self._bids = spaces.Discrete(COINS + 1)

    def observation_space(self, agent: str) -> spaces.Space:
        return self._observed

    def action_space(self, agent: str) -> spaces.Space:
        return self._bids

    def reset(self, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        self.agents = self.possible_agents[:]
        self.coins, self.prizes, self.round = np.full(2, COINS), np.zeros(2, int), 0
        return self._observe(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, int]) -> tuple[dict, dict, dict, dict, dict]:
        bids = np.array([actions[agent] for agent in self.agents])
        self.coins -= bids
        self.prizes += bids > bids[::-1]
        self.round += 1
        over = self.round == ROUNDS
        lead = np.sign(self.prizes[0] - self.prizes[1]) if over else 0
        agents, observations = self.agents, self._observe()
        rewards = dict(zip(agents, (float(lead), float(-lead)), strict=True))
        if over:
            self.agents = []
        infos = {agent: {} for agent in agents}
        return observations, rewards, dict.fromkeys(agents, over), dict.fromkeys(agents, False), infos

    def _observe(self) -> dict[str, dict[str, np.ndarray]]:
        found = {}
        for own, agent in enumerate(self.possible_agents):
            coins, lead = self.coins / COINS, (self.prizes[own] - self.prizes[1 - own]) / ROUNDS
            seen = np.array([coins[own], coins[1 - own], self.round / ROUNDS, lead], np.float32)
            found[agent] = {
                "observation": seen,
                "action_mask": (np.arange(COINS + 1) <= self.coins[own]).astype(np.int8),
            }
        return found

    def render(self) -> str:
        return f"round {self.round}: coins {self.coins}, prizes {self.prizes}"


parallel_env = Bidding  # what env.name=bidding looks for
