"""The learner of TD(lambda): the mean squared difference between the values of actions and their lambda returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.rllib.core.columns import Columns
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor

from marl_app.rllib.ppo.learner import MinibatchPPOLearner
from marl_app.rllib.schedules import value_at


class TDLearner(MinibatchPPOLearner):
    """As PPO's learner, with a loss of values only, and the temperature of the policy.

    The network has `action_values_taken` and `set_temperature`. Env runners get the temperature with the weights.
    """

    def build(self) -> None:
        """As PPO's learner."""
        super().build()
        self._set_temperature(0)

    def _set_temperature(self, env_steps: int) -> None:
        """Set the temperature of all networks to that of an env step."""
        temperature = value_at(self.config.settings.temperature, env_steps)
        for module_id in self.module.keys():  # noqa: SIM118 - a MultiRLModule is not a dict
            self.module[module_id].set_temperature(temperature)

    def minibatch_loss(self, module_id: str, config: Any, columns: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of a minibatch: columns [R, ...]."""
        # [R] each. There is no policy term: the policy is a softmax of the values of actions.
        values = self.module[module_id].action_values_taken(columns[Columns.OBS], columns[Columns.ACTIONS].long())
        targets = columns[Columns.VALUE_TARGETS]
        loss = ((values - targets) ** 2).mean()
        self._terms = {"vf_loss": loss.detach(), "values": values.detach(), "targets": targets}
        return loss

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """As PPO's learner, and set the temperature."""
        super().after_gradient_based_update(timesteps=timesteps)
        self._set_temperature(timesteps[NUM_ENV_STEPS_SAMPLED_LIFETIME])
