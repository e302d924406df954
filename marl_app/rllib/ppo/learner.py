"""RLlib's PPO learner, with a leaner inner loop.

The loss is RLlib's PPO loss, with Huber's value loss as an option; optimizer state, schedules and the adaptive KL
weight are RLlib's. What differs is how minibatches come and go, which on small networks was a third of the time: RLlib
copies every column in each epoch to shuffle it, logs ten figures per minibatch of which only the last are read, builds
the old policy whether or not it is needed, and looks for non-finite gradients parameter by parameter, twice.

Several learners hold the whole batch each and make the same minibatches of it; of each minibatch every one takes its
part, and they step by the mean of their gradients. So what is a matter of the batch (advantages, running statistics)
needs no exchange, and they learn what one would from that batch. RLlib gives each a part of it, and wraps the networks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.ppo.ppo import LEARNER_RESULTS_KL_KEY
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from torch import Tensor, distributed
from torch.nn.functional import huber_loss, log_softmax

from marl_app.players.modules.actor_critic import LENGTHS, MEMORY

logger = logging.getLogger(__name__)


class MinibatchPPOLearner(PPOTorchLearner):
    """PPO on ready batches of one module, without a time axis."""

    def build(self) -> None:
        """As RLlib, on one thread: busy processes of several threads each on a few cores run several times slower."""
        torch.set_num_threads(1)
        super().build()

    def _make_modules_ddp_if_necessary(self) -> None:
        """Several learners begin as the first one; their networks stay as they are."""
        if self.distributed:
            for id in self.module.keys():  # noqa: SIM118 - a MultiRLModule is no dict
                for values in self.module[id].state_dict().values():
                    distributed.broadcast(values, 0)

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Adam, as RLlib, in one kernel for all parameters."""
        params = self.get_parameters(self._module[module_id])
        optimizer = torch.optim.Adam(params, fused=True)
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=params, lr_or_lr_schedule=config.lr)

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
        value_head = self.module[module_id].value_head
        targets = columns[Columns.VALUE_TARGETS]
        if self.config.settings.normalize_values:
            value_head.update(targets)
        columns = {**columns, Columns.VALUE_TARGETS: value_head.normalized(targets)}
        self._batch = (module_id, columns)
        part = (distributed.get_rank(), distributed.get_world_size()) if self.distributed else (0, 1)
        return minibatches(module_id, columns, num_epochs, minibatch_size, shuffle_batch_per_epoch, *part)

    def _update(self, batch: Mapping[str, Any], **kwargs: Any) -> tuple[dict, dict, dict]:
        """One gradient step on a minibatch of one module. A gradient that is not finite is left out, with a warning."""
        ((module_id, columns),) = batch.items()
        config = self.config.get_config_for_module(module_id)
        module = self.module[module_id]
        loss = self.compute_loss_for_module(
            module_id=module_id, config=config, batch=columns, fwd_out=module.forward_train(columns)
        )
        optimizer = self.get_optimizer(module_id)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = self.get_parameters(module)
        if self.distributed:
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            flat = mean_of_learners(
                torch.cat([gradient.flatten() for gradient in gradients]), len(columns[Columns.OBS])
            )
            for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
                gradient.copy_(mean.view_as(gradient))
        norm = clip_gradients(parameters, config.grad_clip, config.grad_clip_by)
        self._terms["grad_norm"] = norm
        if torch.isfinite(norm):
            optimizer.step()
        else:
            logger.warning("a gradient of %s is not finite: this step is left out", module_id)
        return {}, {module_id: loss.detach()}, {}

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: Mapping[str, Tensor], fwd_out: Mapping[str, Tensor]
    ) -> Tensor:
        """RLlib's PPO loss. Its terms are kept for `after_gradient_based_update`."""
        module = self.module[module_id]
        inputs, actions = fwd_out[Columns.ACTION_DIST_INPUTS], batch[Columns.ACTIONS]
        logp, entropy = logp_and_entropy(module, inputs, actions)
        log_ratio = logp - batch[Columns.ACTION_LOGP]
        ratio = log_ratio.exp()
        advantages = batch[Columns.ADVANTAGES]
        clipped = ratio.clamp(1 - config.clip_param, 1 + config.clip_param)
        policy_loss = -torch.min(advantages * ratio, advantages * clipped).mean()
        values, targets = module.compute_values(batch, fwd_out.get(Columns.EMBEDDINGS)), batch[Columns.VALUE_TARGETS]
        huber_delta = config.settings.huber_delta
        if huber_delta is None:
            errors = (values - targets) ** 2
        else:
            errors = huber_loss(values, targets, reduction="none", delta=huber_delta)
        vf_loss = errors.mean()
        bounded = vf_loss if math.isinf(config.vf_clip_param) else errors.clamp(max=config.vf_clip_param).mean()
        entropy = entropy.mean()
        entropy_coeff = self.entropy_coeff_schedulers_per_module[module_id].get_current_value()
        loss = policy_loss + config.vf_loss_coeff * bounded - entropy_coeff * entropy
        terms = {"policy_loss": policy_loss, "vf_loss": vf_loss, "entropy": entropy, "log_ratio": log_ratio}
        if config.use_kl_loss:
            dist = module.get_train_action_dist_cls()
            kl = dist.from_logits(batch[Columns.ACTION_DIST_INPUTS]).kl(dist.from_logits(inputs)).mean()
            loss = loss + self.curr_kl_coeffs_per_module[module_id] * kl
            terms[LEARNER_RESULTS_KL_KEY] = kl
        self._terms = {name: term.detach() for name, term in {**terms, "total_loss": loss}.items()}
        self._terms |= {"values": values.detach(), "targets": targets}
        return loss

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """As RLlib; logs the terms of the last minibatch, and lets running statistics of inputs see the batch.

        How far the policy moved is measured by the estimator r - 1 - log r of the KL divergence (Schulman 2020,
        "Approximating KL divergence").
        """
        module_id, columns = self._batch
        terms = self._terms
        log_ratio, values, targets = terms.pop("log_ratio"), terms.pop("values"), terms.pop("targets")
        terms["approx_kl"] = (log_ratio.exp() - 1 - log_ratio).mean()
        unexplained = (targets - values).var(correction=0) / targets.var(correction=0).clamp(min=1e-8)
        terms["explained_variance"] = 1 - unexplained.clamp(max=2.0)
        if self.distributed:  # each has those of its own rows
            means = mean_of_learners(torch.stack(list(terms.values())), len(values))
            terms = dict(zip(terms, means, strict=True))
        self.metrics.log_dict({name: float(term) for name, term in terms.items()}, key=module_id, window=1)
        self.module[module_id].learn_statistics(columns)
        super().after_gradient_based_update(timesteps=timesteps)

    def reset_optimizers(self, module_ids: list[str]) -> None:
        """Networks begin again: their optimizers know nothing of the past, their KL weights are the first ones."""
        for id in module_ids:
            self.get_optimizer(id).state.clear()
            if id in self.curr_kl_coeffs_per_module:
                self.curr_kl_coeffs_per_module[id].data.fill_(self.config.get_config_for_module(id).kl_coeff)

    def _log_steps_trained_metrics(self, batch: Any) -> None:
        """Nobody reads RLlib's counts of steps per minibatch; the app counts them where they come from."""

    # What a checkpoint holds beside the players' weights and the optimizers.

    def own_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The KL coefficients: no arrays, and what is not an array."""
        return {}, {"kl_coeffs": {id: float(value) for id, value in self.curr_kl_coeffs_per_module.items()}}

    def load_own_state(self, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> None:
        """The inverse of `own_state`."""
        for id, value in plain["kl_coeffs"].items():
            if id in self.curr_kl_coeffs_per_module:
                self.curr_kl_coeffs_per_module[id].data.fill_(value)


def logp_and_entropy(module: Any, inputs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """The log-probabilities of actions and the entropies of their distributions, [R] each."""
    if module.action_dist_cls.__name__ != "TorchCategorical":
        dist = module.get_train_action_dist_cls().from_logits(inputs)
        return dist.logp(actions), dist.entropy()
    logps = log_softmax(inputs, dim=1)
    return logps.gather(1, actions.long()[:, None]).squeeze(1), -(logps.exp() * logps).sum(dim=1)


def mean_of_learners(values: Tensor, rows: int) -> Tensor:
    """The mean [n] over the rows of all learners, each of which has a mean `values` [n] over so many `rows`."""
    sums = torch.cat([values, values.new_ones(1)]) * rows
    distributed.all_reduce(sums)
    return sums[:-1] / sums[-1]


def clip_gradients(parameters: list[Tensor], bound: float | None, by: str) -> Tensor:
    """Clip the gradients, by RLlib's meanings of `grad_clip` and `grad_clip_by`; their global norm before that."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
    if bound is None:
        return norm
    if by == "global_norm":
        torch.nn.utils.clip_grads_with_norm_(parameters, bound, norm, foreach=True)
    elif by == "norm":
        for gradient in gradients:
            gradient.mul_((bound / (gradient.norm() + 1e-6)).clamp(max=1.0))
    else:
        torch.nn.utils.clip_grad_value_(parameters, bound, foreach=True)
    return norm


def minibatches(
    module_id: str,
    columns: Mapping[str, Tensor],
    num_epochs: int,
    minibatch_size: int | None,
    shuffle: bool,
    learner: int = 0,
    learners: int = 1,
) -> Iterator[MultiAgentBatch]:
    """Every row once per epoch, in near-equal minibatches of about `minibatch_size` rows (None: the whole batch).

    Rows that come in sequences (LENGTHS) stay in them. With several `learners` minibatches have so many rows of each;
    these are the ones of the `learner` with this number. The first one shuffles for all.
    """
    observations = columns[Columns.OBS]
    rows, device = len(observations), observations.device
    count = max(1, math.floor(rows / (learners * (minibatch_size or rows)) + 0.5))
    lengths = columns.get(LENGTHS)
    units = rows if lengths is None else len(lengths)
    for _ in range(num_epochs):
        order = (torch.randperm(units) if shuffle else torch.arange(units)).to(device)
        if learners > 1:
            distributed.broadcast(order, 0)
        for whole in order.tensor_split(max(1, min(count, units // learners))):
            chosen = whole.tensor_split(learners)[learner]
            if lengths is None:
                minibatch = {name: values.index_select(0, chosen) for name, values in columns.items()}
            else:
                minibatch = _of_sequences(columns, lengths, chosen)
            yield MultiAgentBatch({module_id: SampleBatch(minibatch)}, len(minibatch[Columns.OBS]))


def _of_sequences(columns: Mapping[str, Tensor], lengths: Tensor, chosen: Tensor) -> dict[str, Tensor]:
    """The rows of some sequences, one sequence after the other."""
    starts, some = (lengths.cumsum(0) - lengths)[chosen], lengths[chosen]
    within = torch.arange(int(some.sum()), device=some.device) - (some.cumsum(0) - some).repeat_interleave(some)
    rows = starts.repeat_interleave(some) + within
    return {
        name: values.index_select(0, chosen if name in (LENGTHS, MEMORY) else rows) for name, values in columns.items()
    }
