"""RLlib as it comes: PPO on its own `MultiAgentEnvRunner`, playing PettingZoo's Connect Four against itself.

One policy plays both seats, so every ply is one trained agent step. Network, loss and settings are those of the other
contestants; how RLlib samples is set to the best that `python -m benchmarks.search` found.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import ray
from gymnasium import spaces
from pettingzoo.classic import connect_four_v3
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED

from benchmarks.contestant import Steps
from benchmarks.settings import Settings
from marl_app.config.schema import available_cores

POLICY = "main"
CELLS, COLUMNS = 84, 7
OBSERVATIONS = spaces.Dict(  # the names that RLlib's action-masking module wants
    {
        "observations": spaces.Box(0.0, 1.0, (CELLS,), np.float32),
        "action_mask": spaces.Box(0.0, 1.0, (COLUMNS,), np.float32),
    }
)


class TurnBasedConnectFour(MultiAgentEnv):
    """PettingZoo's game behind RLlib's interface: the agent to move is observed, at the end of the game both are.

    RLlib's own `PettingZooEnv` hands over int8 boards that one more connector would have to flatten for each agent and
    step. The game is the raw one: a masked policy makes no illegal move that wrappers had to catch.
    """

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        super().__init__()
        self._game = connect_four_v3.raw_env()
        self.possible_agents = self.agents = list(self._game.possible_agents)
        self.observation_spaces = dict.fromkeys(self.agents, OBSERVATIONS)
        self.action_spaces = dict.fromkeys(self.agents, spaces.Discrete(COLUMNS))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict]:
        """An empty board."""
        self._game.reset(seed=seed)
        return self._observe([self._game.agent_selection]), {}

    def step(self, action_dict: dict[str, Any]) -> tuple[dict, dict, dict, dict, dict]:
        """One ply."""
        game = self._game
        game.step(int(action_dict[game.agent_selection]))
        over = game.terminations[game.agent_selection]
        # The last observation goes to both agents: without one, a reward at a fragment's end would be lost.
        agents = self.agents if over else [game.agent_selection]
        rewards = {agent: float(game.rewards[agent]) for agent in agents}
        return self._observe(agents), rewards, {"__all__": over}, {"__all__": False}, {}

    def _observe(self, agents: list[str]) -> dict[str, Any]:
        observations = {}
        for agent in agents:
            seen = self._game.observe(agent)
            observations[agent] = {
                "observations": seen["observation"].ravel().astype(np.float32),
                "action_mask": seen["action_mask"].astype(np.float32),
            }
        return observations


class EpisodesToNumpy(RLlibCallback):
    """Converts episodes once per fragment; RLlib's loop would do it again in every step (`episodes_to_numpy`)."""

    def on_sample_end(self, *, samples: list[Any], **kwargs: Any) -> None:
        """Convert what the fragment holds."""
        for episode in samples:
            episode.to_numpy()


class Stock:
    """RLlib's PPO in self-play."""

    def __init__(self, settings: Settings) -> None:
        cores = max(available_cores(), settings.stock.num_env_runners + 1)
        ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False)
        self._config = stock_config(settings)
        self._algorithm: PPO = self._config.build_algo()

    def iterate(self, learn: bool) -> Steps:
        """One batch, collected or trained on: every env step is one agent's."""
        if learn:
            steps = self._algorithm.train()[ENV_RUNNER_RESULTS][NUM_ENV_STEPS_SAMPLED]
        else:
            _, metrics = synchronous_parallel_sample(
                worker_set=self._algorithm.env_runner_group,
                max_env_steps=self._config.total_train_batch_size,
                sample_timeout_s=self._config.sample_timeout_s,
                _uses_new_env_runners=True,
                _return_metrics=True,
            )
            steps = sum(int(part[NUM_ENV_STEPS_SAMPLED]) for part in metrics)
        return Steps(int(steps), int(steps))

    def close(self) -> None:
        """Ray goes."""
        self._algorithm.stop()
        ray.shutdown()


def stock_config(settings: Settings) -> PPOConfig:
    """RLlib's configuration with the settings that all contestants share."""
    sampling = settings.stock
    shared = settings.algorithm() | {"train_batch_size_per_learner": sampling.batch_rows}
    if shared["vf_clip_param"] is None:
        shared["vf_clip_param"] = float("inf")
    model = DefaultModelConfig(fcnet_hiddens=list(settings.hidden), fcnet_activation="tanh", vf_share_layers=False)
    config = (
        PPOConfig()
        .environment(TurnBasedConnectFour, disable_env_checking=True)
        .multi_agent(policies={POLICY}, policy_mapping_fn=functools.partial(always, POLICY))
        .rl_module(rl_module_spec=RLModuleSpec(module_class=ActionMaskingTorchRLModule, model_config=model))
        .env_runners(
            num_env_runners=sampling.num_env_runners,
            num_envs_per_env_runner=sampling.num_envs_per_env_runner,
            rollout_fragment_length=sampling.rollout_fragment_length or "auto",
            episodes_to_numpy=sampling.episodes_to_numpy,
            create_local_env_runner=sampling.num_env_runners == 0,
        )
        .training(**shared)
        .debugging(seed=0, log_level="ERROR")
    )
    return config if sampling.episodes_to_numpy else config.callbacks(EpisodesToNumpy)


def always(policy: str, agent_id: str, episode: Any, **kwargs: Any) -> str:
    """RLlib's policy mapping: the same policy for everybody."""
    return policy
