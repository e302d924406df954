"""What a script of an RLlib user has: environments and an RLModule of its own."""

import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv


class Nim(MultiAgentEnv):
    """Two players take 1 or 2 of 4 stones in turn; who takes the last one wins. Only who moves has an observation."""

    def __init__(self, config=None):
        super().__init__()
        self.possible_agents = self.agents = ["first", "second"]
        mask = spaces.Box(0, 1, (2,), np.int8)
        board = spaces.Dict({"observation": spaces.Box(0, 4, (1,), np.float32), "action_mask": mask})
        self.observation_spaces = dict.fromkeys(self.agents, board)
        self.action_spaces = {agent: spaces.Discrete(2) for agent in self.agents}

    def reset(self, *, seed=None, options=None):
        self.stones, self.turn = 4, 0
        return self.seen(), {}

    def step(self, actions):
        [(agent, action)] = actions.items()
        assert agent == self.agents[self.turn]
        self.stones -= int(action) + 1
        over = self.stones == 0
        # RLlib sums rewards of agents that do not act, too.
        rewards = {self.agents[self.turn]: 1.0, self.agents[1 - self.turn]: -1.0} if over else {}
        self.turn = 1 - self.turn
        return ({} if over else self.seen()), rewards, {"__all__": over}, {"__all__": False}, {}

    def seen(self):
        mask = np.array([1, self.stones >= 2], np.int8)
        return {self.agents[self.turn]: {"observation": np.array([self.stones], np.float32), "action_mask": mask}}


class Pennies(MultiAgentEnv):
    """Three agents show a side at once, three times: `odd` wins a point if it differs from both others. Then cut."""

    def __init__(self, config=None):
        super().__init__()
        self.possible_agents = self.agents = ["odd", "even_0", "even_1"]
        self.observation_spaces = {agent: spaces.Box(0, 3, (2,), np.float32) for agent in self.agents}
        self.action_spaces = {agent: spaces.Discrete(2) for agent in self.agents}

    def reset(self, *, seed=None, options=None):
        self.round = 0
        return self.seen(), {}

    def step(self, actions):
        self.round += 1
        won = actions["odd"] != actions["even_0"] and actions["odd"] != actions["even_1"]
        rewards = {agent: float(won == (agent == "odd")) for agent in self.agents}
        return self.seen(), rewards, {"__all__": False}, {"__all__": self.round == 3}, {}

    def seen(self):
        return {agent: np.array([self.round, 1], np.float32) for agent in self.agents}


class OwnModule(TorchRLModule, ValueFunctionAPI):
    """A linear policy and a linear value, of an own width."""

    def setup(self):
        super().setup()
        width = self.model_config["width"]
        self.body = torch.nn.Linear(self.observation_space.shape[0], width)
        self.policy, self.value = torch.nn.Linear(width, self.action_space.n), torch.nn.Linear(width, 1)

    def _forward(self, batch, **kwargs):
        return {Columns.ACTION_DIST_INPUTS: self.policy(torch.relu(self.body(batch[Columns.OBS])))}

    def compute_values(self, batch, embeddings=None):
        return self.value(torch.relu(self.body(batch[Columns.OBS]))).squeeze(-1)


class Remembers(OwnModule):
    """An RLModule with a state."""

    def get_initial_state(self):
        return {"h": np.zeros(3, np.float32)}
