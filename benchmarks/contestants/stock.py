"""RLlib's own PPO on its `MultiAgentEnvRunner`: self-play on Connect Four, IPPO on Simple Spread.

One policy plays all agents. Network, loss and settings are those of the other contestants; the sampling settings are
the best that `python -m benchmarks.throughput --search` has found.
"""

from __future__ import annotations

import functools
from typing import Any

import ray
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.examples.rl_modules.classes.action_masking_rlm import ActionMaskingTorchRLModule
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED

from benchmarks.contestant import Steps
from benchmarks.contestants.stock_envs import SimultaneousSpread, TurnBasedConnectFour
from benchmarks.games import GAMES
from benchmarks.settings import Settings
from marl_app.config.machine import available_cores
from marl_app.rllib.ppo.algorithm import LeaguePPOConfig

POLICY = "main"
ENVS_AND_MODULES = {
    "connect_four": (TurnBasedConnectFour, ActionMaskingTorchRLModule),
    "simple_spread": (SimultaneousSpread, DefaultPPOTorchRLModule),
}
"""Game -> its environment, and RLlib's network module for it."""


class EpisodesToNumpy(RLlibCallback):
    """A callback that converts episodes once per fragment; with `episodes_to_numpy` RLlib converts them every step."""

    def on_sample_end(self, *, samples: list[Any], **kwargs: Any) -> None:
        """Convert the episodes of the fragment."""
        for episode in samples:
            episode.to_numpy()


class Stock:
    """RLlib's PPO."""

    def __init__(self, settings: Settings) -> None:
        # Room for all env runners and the driver, also on a machine with fewer cores.
        cores = max(available_cores(), settings.stock.num_env_runners + 1)
        ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False)
        self._config = stock_config(settings)
        self._deciders = GAMES[settings.game].deciders
        self._algorithm: PPO = self._config.build_algo()

    def iterate(self, learn: bool) -> Steps:
        """Collect a batch, and with `learn` train on it."""
        if learn:
            steps = self._algorithm.train()[ENV_RUNNER_RESULTS][NUM_ENV_STEPS_SAMPLED]
        else:
            # Sampling alone, by the function that RLlib's PPO calls.
            _, metrics = synchronous_parallel_sample(
                worker_set=self._algorithm.env_runner_group,
                max_env_steps=self._config.total_train_batch_size,
                sample_timeout_s=self._config.sample_timeout_s,
                _uses_new_env_runners=True,
                _return_metrics=True,
            )
            steps = sum(int(part[NUM_ENV_STEPS_SAMPLED]) for part in metrics)
        return Steps(int(steps), int(steps) * self._deciders)

    def facts(self) -> dict[str, float]:
        """Return the size of the network."""
        state = self._algorithm.learner_group.get_state(components=f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}")
        weights = state[COMPONENT_LEARNER][COMPONENT_RL_MODULE][POLICY]
        return {"parameters": sum(value.size for value in weights.values())}

    def close(self) -> None:
        """Stop the algorithm and Ray."""
        self._algorithm.stop()
        ray.shutdown()


def stock_config(settings: Settings) -> PPOConfig:
    """Return RLlib's configuration with the settings that all contestants share."""
    sampling = settings.stock
    # The settings that the app passes to RLlib. RLlib's PPO has a separate batch size; null, no clipping, is infinity.
    algorithm = settings.algorithm()
    shared = {name: algorithm[name] for name in LeaguePPOConfig.rllib_settings}
    shared["train_batch_size_per_learner"] = sampling.batch_rows
    bound = algorithm["vf_clip_param"]
    shared["vf_clip_param"] = float("inf") if bound is None else bound
    model = DefaultModelConfig(fcnet_hiddens=list(settings.hidden), fcnet_activation="tanh", vf_share_layers=False)
    env, module = ENVS_AND_MODULES[settings.game]
    config = (
        PPOConfig()
        .environment(env, disable_env_checking=True)
        .multi_agent(policies={POLICY}, policy_mapping_fn=functools.partial(map_to_policy, POLICY))
        .rl_module(rl_module_spec=RLModuleSpec(module_class=module, model_config=model))
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


def map_to_policy(policy: str, agent_id: str, episode: Any, **kwargs: Any) -> str:
    """RLlib's policy mapping function: the same policy for all agents."""
    return policy
