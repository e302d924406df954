"""RLlib's PPO learner, with minibatches drawn by one index permutation per epoch.

The loss, optimizer, schedules, metrics and gradient handling are RLlib's. Its minibatch iterator, however, shuffles by
copying every column each epoch, does not shuffle at all when there is one epoch, and cycles a remainder into an extra
minibatch; on small networks that was a tenth of the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from torch import Tensor


class MinibatchPPOLearner(PPOTorchLearner):
    """PPO on ready batches of one module, without a time axis."""

    def build(self) -> None:
        """As RLlib, on one thread: busy processes of several threads each on a few cores run several times slower."""
        torch.set_num_threads(1)
        super().build()

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: Mapping[str, Tensor], fwd_out: Mapping[str, Tensor]
    ) -> Tensor:
        """RLlib's PPO loss; the batch is remembered for `after_gradient_based_update`."""
        self._last = (module_id, batch, fwd_out)
        return super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """As RLlib; logs how far the last minibatch's policy had moved, whether or not KL is part of the loss.

        The estimator r - 1 - log r of the KL divergence (Schulman 2020, "Approximating KL divergence").
        """
        module_id, batch, fwd_out = self._last
        dist = (
            self.module[module_id].get_train_action_dist_cls().from_logits(fwd_out[Columns.ACTION_DIST_INPUTS].detach())
        )
        log_ratio = dist.logp(batch[Columns.ACTIONS]) - batch[Columns.ACTION_LOGP]
        self.metrics.log_value((module_id, "approx_kl"), (log_ratio.exp() - 1 - log_ratio).mean(), window=1)
        super().after_gradient_based_update(timesteps=timesteps)

    def _create_iterator_if_necessary(
        self,
        *,
        training_data: TrainingData,
        num_epochs: int = 1,
        minibatch_size: int | None = None,
        shuffle_batch_per_epoch: bool = False,
        **kwargs: Any,
    ) -> Iterator[MultiAgentBatch]:
        batch = self._make_batch_if_necessary(training_data=training_data)
        ((module_id, columns),) = batch.policy_batches.items()
        return minibatches(module_id, columns, num_epochs, minibatch_size, shuffle_batch_per_epoch)


def minibatches(
    module_id: str, columns: SampleBatch, num_epochs: int, minibatch_size: int | None, shuffle: bool
) -> Iterator[MultiAgentBatch]:
    """Every row once per epoch, in near-equal minibatches of about `minibatch_size` rows (None: the whole batch)."""
    tensors = dict(columns)
    observations = tensors[Columns.OBS]
    rows, device = len(observations), observations.device
    count = max(1, math.floor(rows / (minibatch_size or rows) + 0.5))
    for _ in range(num_epochs):
        order = torch.randperm(rows) if shuffle else torch.arange(rows)
        for chosen in order.to(device).tensor_split(count):
            minibatch = SampleBatch({name: values.index_select(0, chosen) for name, values in tensors.items()})
            yield MultiAgentBatch({module_id: minibatch}, len(chosen))
