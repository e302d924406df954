"""TD(lambda) control: each action's value is regressed to its lambda return, and the policy follows from the values.

The lambda return of a decision mixes, over the agent's decisions that follow, the rewards until then and the value of
the observation there. That value is the mean of its actions' values under the policy, so with lambda 0 this is expected
Sarsa (van Seijen et al., 2009). Opponents are part of the environment: of self-play and of a league alike.

Where we differ from Thill, Koch and Konen (2012): returns are not cut at exploratory actions; Adam instead of plain
gradient steps, on batches of many matches.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from marl_app.config.errors import ConfigError
from marl_app.players.modules.afterstates import TEMPERATURE
from marl_app.rllib.ppo.algorithm import LeaguePPO, LeaguePPOConfig
from marl_app.rllib.run_spec import RunSpec
from marl_app.rllib.sampling.fragments import Weights
from marl_app.rllib.schedules import value_at
from marl_app.rllib.td.learner import TDLearner
from marl_app.rllib.training.config import MatchConfig


class LeagueTDConfig(LeaguePPOConfig):
    """The configuration of PPO's env runners and learner, with the loss of TD learning."""

    rllib_settings = (*MatchConfig.rllib_settings, "lambda_", "num_epochs", "shuffle_batch_per_epoch")

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or LeagueTD)

    def for_run(self, spec: RunSpec) -> Self:
        """As every algorithm. Raises ConfigError for a network without values of actions."""
        if not hasattr(spec.architecture.module_class, "action_values_taken"):
            raise ConfigError(
                "algorithm=td learns values of actions, which this network does not have: use model=afterstates, or "
                "algorithm=ppo"
            )
        return super().for_run(spec)

    def get_default_learner_class(self) -> type[TDLearner]:
        """Return the learner class (called by RLlib)."""
        return TDLearner


class LeagueTD(LeaguePPO):
    """Trains the learners of a league by TD(lambda)."""

    config: LeagueTDConfig

    @classmethod
    def get_default_config(cls) -> LeagueTDConfig:
        """Return the default configuration (called by RLlib)."""
        return LeagueTDConfig(cls)

    @property
    def temperature(self) -> float:
        """Temperature of the policy in the experience that is collected now."""
        return value_at(self.config.settings.temperature, self.counters.env_steps)

    def exploration(self) -> Weights:
        """Return the temperature for each network; saved players play at `play_temperature`."""
        temperature = np.array(self.temperature, np.float32)
        return {f"{network.name}/{TEMPERATURE}": temperature for network in self.spec.networks}

    def metrics_of_iteration(self) -> dict[str, float]:
        """Return the temperature of exploration."""
        return {"exploration/temperature": self.temperature}
