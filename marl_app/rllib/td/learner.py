"""The learner of TD(lambda): the mean squared difference between the values of actions and their lambda returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.rllib.core.columns import Columns
from torch import Tensor

from marl_app.rllib.ppo.learner import MinibatchPPOLearner


class TDLearner(MinibatchPPOLearner):
    """As PPO's learner, with a loss of values only. The network has `action_values_taken` and `set_temperature`."""

    def build(self) -> None:
        """As PPO's learner."""
        super().build()
        self._set_temperature()

    def set_state(self, state: Any) -> None:
        """As RLlib's, but the temperature is that of the configuration: a resumed run may change it."""
        super().set_state(state)
        self._set_temperature()

    def _set_temperature(self) -> None:
        """Set the temperature at play of all networks; requests bring that of exploration."""
        for module_id in self.module.keys():  # noqa: SIM118 - a MultiRLModule is not a dict
            self.module[module_id].set_temperature(self.config.settings.play_temperature)

    def minibatch_loss(self, module_id: str, config: Any, columns: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of a minibatch: columns [R, ...]."""
        # [R] each. There is no policy term: the policy is a softmax of the values of actions.
        values = self.module[module_id].action_values_taken(columns[Columns.OBS], columns[Columns.ACTIONS].long())
        targets = columns[Columns.VALUE_TARGETS]
        loss = ((values - targets) ** 2).mean()
        self._terms = {"vf_loss": loss.detach(), "values": values.detach(), "targets": targets}
        return loss
