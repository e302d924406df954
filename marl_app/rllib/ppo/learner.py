"""The PPO learner: RLlib's, with a faster loop over minibatches.

The loss is RLlib's PPO loss, with Huber's value loss as an option; optimizer state, schedules and the adaptive KL
weight are RLlib's. The loop over minibatches is ours; RLlib's took a third of the time on small networks: it copies
every column in each epoch to shuffle it, logs ten figures per minibatch of which only the last are read, builds the old
policy's distribution even if it is not used, and searches for non-finite gradients per parameter, twice.

One update of a player, `train`: the rows of each network are joined, and RLlib's `update` calls the hooks:
 1. `_create_iterator_if_necessary`: advantages are standardized; the value head takes the batch into its statistics
    (PopArt); minibatches of the rows that `advantage_filter` keeps.
 2. `_update`, per minibatch: loss (`compute_loss_for_module`), backward, mean over learners, clipping, step.
 3. `after_gradient_based_update`, once: metrics of the last minibatch; statistics of observations.

Several learners each have rows of their own, and step by the mean of their gradients: see `data_parallel.py`. RLlib
standardizes advantages in each learner alone, and wraps the networks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import ray
import torch
from ray import ObjectRef
from ray.exceptions import ObjectLostError
from ray.rllib.algorithms.ppo.ppo import LEARNER_RESULTS_KL_KEY
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from ray.rllib.utils.schedules.scheduler import Scheduler
from torch import Tensor
from torch.nn.functional import huber_loss, log_softmax

from marl_app.league.players import MAIN_AGENT
from marl_app.players.modules.actor_critic import LENGTHS
from marl_app.players.networks import module_id
from marl_app.rllib.gradients import clip_and_step
from marl_app.rllib.ppo.data_parallel import (
    average_gradients,
    average_weights,
    counts_of_learners,
    joined,
    mean_of_learners,
    with_borrowed_row,
)
from marl_app.rllib.ppo.magnet import REFERENCE, make_magnet, policy_kl, uniform_inputs
from marl_app.rllib.ppo.minibatches import minibatches, rows_of_sequences, standardized, with_largest_advantages
from marl_app.rllib.sampling.collector import Batches
from marl_app.rllib.sampling.colocated import PlayingLearner
from marl_app.rllib.seeding import seed_learner

logger = logging.getLogger(__name__)


class MinibatchPPOLearner(PlayingLearner, PPOTorchLearner):
    """PPO on ready batches of one module, without a time axis.

    Attributes pass state from hook to hook of one update: `_batch` (module id and columns) is set by
    `_create_iterator_if_necessary`, `_rows` (of this learner in the minibatch) by the iterator, `_terms` (figures of
    the last minibatch) by `compute_loss_for_module` and `_update`; `after_gradient_based_update` reads them. RLlib
    calls the hooks in this order, in one thread.
    """

    def build(self) -> None:
        """As RLlib, on one thread: processes with several threads each run several times slower on a few cores."""
        torch.set_num_threads(1)
        seed_learner(self.config)
        super().build()
        settings = self.config.settings
        self.magnet = make_magnet(settings)
        self._is_empty = False  # whether this learner has no rows of its own, only a borrowed one
        self._average_every = self.config.spec.settings.runtime.average_every
        self._steps_alone = self._rows_alone = 0  # gradient steps and rows since weights were averaged
        self._loss_weights = {  # of the KL terms in the loss
            name: Scheduler(fixed_value_or_schedule=getattr(settings, name), framework="torch", device=self._device)
            for name in ("magnet_coeff", "uniform_kl_coeff")
        }

    def _is_regularized(self, module_id: str) -> bool:
        """Return whether the magnet holds a network: those of main agents. Exploiters are to find best responses."""
        learner = self.config.spec.settings.league.learners[module_id.partition(".")[0]]
        return bool(learner.role == MAIN_AGENT)

    def _make_modules_ddp_if_necessary(self) -> None:
        """Do nothing: the networks are not wrapped, unlike in RLlib."""

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Use Adam, as RLlib, fused: one kernel for all parameters."""
        params = self.get_parameters(self._module[module_id])
        optimizer = torch.optim.Adam(params, fused=True)
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=params, lr_or_lr_schedule=config.lr)

    def train(
        self, *, player: str, batches: Sequence[Batches | ObjectRef], minibatch_size: int | None, env_steps: int
    ) -> list[dict[str, Any]]:
        """Train the networks of a player on these rows and on those that this process has played for it.

        batches: training columns by network, or references to them in Ray's object store. minibatch_size: rows of all
        learners in a gradient step. env_steps: of the run so far, for schedules. Return RLlib's results of the networks
        that had rows; nothing in learners but the first, whose results are of all.

        One update per network: in a common one RLlib would repeat the small batches until the largest is covered.
        """
        config, networks = self.config, self.config.spec.networks
        parts = [*arrived(batches), *self.pop_played(player)]
        results = []
        for network in networks:
            # 1. Join the columns of all parts: [R, ...]. A fragment without rows of this network has none.
            columns = joined([part[network.name] for part in parts if part[network.name]])
            rows = [count for [count] in counts_of_learners([len(columns.get(Columns.OBS, ()))], self._device)]
            if not any(rows):
                continue
            self._is_empty = not columns
            # 2. Update.
            batch = {module_id(player, network.name, networks): SampleBatch(dict(with_borrowed_row(columns, rows)))}
            result = self.update(
                training_data=TrainingData(batch=MultiAgentBatch(batch, env_steps=sum(rows))),
                timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: env_steps},
                num_epochs=config.num_epochs,
                minibatch_size=minibatch_size,
                shuffle_batch_per_epoch=config.shuffle_batch_per_epoch,
            )
            results.append(result)
        return results if self._learner_index == 0 else []

    def _create_iterator_if_necessary(
        self,
        *,
        training_data: TrainingData,
        num_epochs: int = 1,
        minibatch_size: int | None = None,
        shuffle_batch_per_epoch: bool = False,
        **kwargs: Any,
    ) -> Iterator[MultiAgentBatch]:
        """Return the minibatches of all epochs. Value targets are converted to the value head's units."""
        self._steps_alone = self._rows_alone = 0  # an update that a learner's death ended may have left some
        batch = self._make_batch_if_necessary(training_data=training_data)
        ((module_id, columns),) = batch.policy_batches.items()
        settings, module = self.config.settings, self.module[module_id]
        rows = 0 if self._is_empty else len(columns[Columns.OBS])  # a borrowed row does not count

        # 1. Value targets: first update the units by the batch (PopArt), then convert to them.
        targets = columns[Columns.VALUE_TARGETS]
        if settings.normalize_values:
            module.value_head.update(targets[:rows])
        columns = {**columns, Columns.VALUE_TARGETS: module.value_head.normalized(targets)}
        # 2. Advantages, standardized over the rows of all learners.
        if settings.normalize_advantages:
            columns[Columns.ADVANTAGES] = standardized(columns[Columns.ADVANTAGES], rows)
        # 3. The reference's distributions, once for all epochs: neither it nor the rows change during the update.
        if self.magnet is not None and self._is_regularized(module_id):
            reference = self.magnet.inputs(module_id, module, columns)
            columns |= {} if reference is None else {REFERENCE: reference}

        # 4. Minibatches of the rows that are this learner's own. All learners make the same number of gradient steps.
        first, own = first_unit(columns), {name: values[:rows] for name, values in columns.items()}
        self._batch = (module_id, own)
        if settings.advantage_filter < 1:
            own = with_largest_advantages(own, settings.advantage_filter)
        for minibatch in minibatches(own, num_epochs, minibatch_size, shuffle_batch_per_epoch):
            self._rows = len(minibatch[Columns.OBS])
            chosen = minibatch if self._rows else first  # of weight 0, but all learners do the same
            yield MultiAgentBatch({module_id: SampleBatch(chosen)}, len(chosen[Columns.OBS]))

    def _update(self, batch: Mapping[str, Any], **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Make one gradient step on a minibatch: columns [R, ...] of one module."""
        ((module_id, columns),) = batch.items()
        config = self.config.get_config_for_module(module_id)
        module = self.module[module_id]
        # 1. The loss and its gradient.
        loss = self.minibatch_loss(module_id, config, columns)
        optimizer = self.get_optimizer(module_id)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        # 2. The mean gradient of all learners, clipped; the optimizer's step, unless it is not finite.
        parameters = self.get_parameters(module)
        if self._average_every == 1:
            average_gradients(parameters, self._rows)
        self._terms["grad_norm"] = clip_and_step(
            optimizer, parameters, config.grad_clip, config.grad_clip_by, module_id
        )
        if self._average_every > 1:
            self._steps_alone, self._rows_alone = self._steps_alone + 1, self._rows_alone + self._rows
            if self._steps_alone == self._average_every:
                self._average(module_id)
        return {}, {module_id: loss.detach()}, {}

    def _average(self, module_id: str) -> None:
        """Average the weights of a network over the learners, if they have taken steps alone."""
        if self._steps_alone:
            average_weights(self.get_optimizer(module_id), self._rows_alone)
            self._steps_alone = self._rows_alone = 0

    def minibatch_loss(self, module_id: str, config: Any, columns: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of a minibatch, and set `_terms`: see `compute_loss_for_module`."""
        fwd_out = self.module[module_id].forward_train(columns)
        return self.compute_loss_for_module(module_id=module_id, config=config, batch=columns, fwd_out=fwd_out)

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: Mapping[str, Tensor], fwd_out: Mapping[str, Tensor]
    ) -> Tensor:
        """Return RLlib's PPO loss of a minibatch: `batch` columns [R, ...], `fwd_out` distribution inputs [R, n].

        Sets `_terms`: each scalar is logged; `values` and `targets` [R], and `log_ratio` if there is one, are read by
        the last hook, so an override has to set them, too. To change only how the policy learns, override
        `policy_loss`.
        """
        module = self.module[module_id]
        inputs, actions = fwd_out[Columns.ACTION_DIST_INPUTS], batch[Columns.ACTIONS]
        logp, entropy = logp_and_entropy(module, inputs, actions)
        log_ratio = logp - batch[Columns.ACTION_LOGP]
        policy_loss = self.policy_loss(config, batch[Columns.ADVANTAGES], logp, log_ratio)
        # Value: squared or Huber error, in the value head's units.
        values, targets = module.compute_values(batch, fwd_out.get(Columns.EMBEDDINGS)), batch[Columns.VALUE_TARGETS]
        huber_delta = config.settings.huber_delta
        if huber_delta is None:
            errors = (values - targets) ** 2
        else:
            errors = huber_loss(values, targets, reduction="none", delta=huber_delta)
        vf_loss = errors.mean()  # reported without clipping, as RLlib does
        bounded = vf_loss if math.isinf(config.vf_clip_param) else errors.clamp(max=config.vf_clip_param).mean()
        # Entropy bonus, and the KL term with its adaptive weight.
        entropy = entropy.mean()
        entropy_coeff = self.entropy_coeff_schedulers_per_module[module_id].get_current_value()
        loss = policy_loss + config.vf_loss_coeff * bounded - entropy_coeff * entropy
        terms = {"policy_loss": policy_loss, "vf_loss": vf_loss, "entropy": entropy, "log_ratio": log_ratio}
        if config.use_kl_loss:
            dist = module.get_train_action_dist_cls()
            kl = dist.from_logits(batch[Columns.ACTION_DIST_INPUTS]).kl(dist.from_logits(inputs)).mean()
            loss = loss + self.curr_kl_coeffs_per_module[module_id] * kl
            terms[LEARNER_RESULTS_KL_KEY] = kl
        if REFERENCE in batch:
            distance = policy_kl(module, inputs, batch[REFERENCE]).mean()
            loss = loss + self._loss_weights["magnet_coeff"].get_current_value() * distance
            terms["magnet_kl"] = distance
        if config.settings.uniform_kl_coeff != 0:
            # The other direction than that of the entropy bonus, whose gradient vanishes with an action's probability.
            distance = policy_kl(module, uniform_inputs(module, batch), inputs).mean()
            loss = loss + self._loss_weights["uniform_kl_coeff"].get_current_value() * distance
            terms["uniform_kl"] = distance
        self._terms = {name: term.detach() for name, term in {**terms, "total_loss": loss}.items()}
        self._terms |= {"values": values.detach(), "targets": targets}
        return loss

    def policy_loss(self, config: Any, advantages: Tensor, logp: Tensor, log_ratio: Tensor) -> Tensor:
        """Return the negative clipped surrogate objective (Schulman et al., 2017), a scalar.

        The arguments are of a minibatch's rows, [R] each. `log_ratio`: the log-probability of the action now, `logp`,
        minus that when it was chosen. Keys of the algorithm's own are in `config.settings`.
        """
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - config.clip_param, 1 + config.clip_param)
        return -torch.min(advantages * ratio, advantages * clipped).mean()

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Log the terms of the last minibatch, and include the batch in running statistics of observations.

        `approx_kl` is the estimator r - 1 - log r of the KL divergence (Schulman, 2020, "Approximating KL divergence").
        """
        module_id, columns = self._batch
        self._average(module_id)
        terms = self._terms
        values, targets = terms.pop("values"), terms.pop("targets")
        if "log_ratio" in terms:
            log_ratio = terms.pop("log_ratio")
            terms["approx_kl"] = (log_ratio.exp() - 1 - log_ratio).mean()
        # Explained variance is bounded below by -1, as in RLlib.
        unexplained = (targets - values).var(correction=0) / targets.var(correction=0).clamp(min=1e-8)
        terms["explained_variance"] = 1 - unexplained.clamp(max=2.0)
        # Each learner has the terms of its rows.
        terms = dict(zip(terms, mean_of_learners(torch.stack(list(terms.values())), self._rows), strict=True))
        self.metrics.log_dict({name: float(term) for name, term in terms.items()}, key=module_id, window=1)
        # Statistics change only after the update: in all its steps a row has the same normalized inputs.
        self.module[module_id].learn_statistics(columns)
        # Schedules of the loss terms, for the next update.
        for weight in self._loss_weights.values():
            weight.update(timestep=timesteps[NUM_ENV_STEPS_SAMPLED_LIFETIME])
        if self.magnet is not None and self._is_regularized(module_id):
            self.magnet.after_update(module_id, self.module[module_id])
        super().after_gradient_based_update(timesteps=timesteps)

    def reset_optimizers(self, module_ids: list[str]) -> None:
        """Reset optimizer state and KL coefficients of networks that start again."""
        for id in module_ids:
            self.get_optimizer(id).state.clear()
            if id in self.curr_kl_coeffs_per_module:
                self.curr_kl_coeffs_per_module[id].data.fill_(self.config.get_config_for_module(id).kl_coeff)

    def _log_steps_trained_metrics(self, batch: Any) -> None:
        """Skip RLlib's counts of steps per minibatch: the app counts steps where fragments arrive."""

    # What a checkpoint keeps in addition to weights and optimizers.

    def extra_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return (arrays, other values): the averages of magnet=ema, and the KL coefficients."""
        kl_coeffs = {id: float(value) for id, value in self.curr_kl_coeffs_per_module.items()}
        return {} if self.magnet is None else self.magnet.arrays(), {"kl_coeffs": kl_coeffs}

    def load_extra_state(self, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any], env_steps: int) -> None:
        """Restore what `extra_state` returned, and the schedules of weights in the loss at this env step."""
        for weight in self._loss_weights.values():
            weight.update(timestep=env_steps)
        for id in self.module.keys():  # noqa: SIM118 - a MultiRLModule is not a dict
            self.entropy_coeff_schedulers_per_module[id].update(timestep=env_steps)
        for id, value in plain["kl_coeffs"].items():
            if id in self.module:  # RLlib makes a coefficient at its first use: a new learner has none yet
                self.curr_kl_coeffs_per_module[id].data.fill_(value)
        if self.magnet is not None:
            self.magnet.load_arrays(arrays, {id: self.module[id] for id in self.module.keys()})  # noqa: SIM118


def logp_and_entropy(module: Any, inputs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities [R] of actions and the entropies [R] of their distributions.

    Categorical distributions are computed from one log_softmax, which is faster than through torch's class.
    """
    if module.action_dist_cls.__name__ != "TorchCategorical":
        dist = module.get_train_action_dist_cls().from_logits(inputs)
        return dist.logp(actions), dist.entropy()
    logps = log_softmax(inputs, dim=1)
    return logps.gather(1, actions.long()[:, None]).squeeze(1), -(logps.exp() * logps).sum(dim=1)


def first_unit(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the first row, or the first sequence, of columns."""
    lengths = columns.get(LENGTHS)
    if lengths is None:
        return {name: values[:1] for name, values in columns.items()}
    return rows_of_sequences(columns, lengths, lengths.new_zeros(1))


def arrived(batches: Sequence[Batches | ObjectRef]) -> list[Batches]:
    """Return batches, and those that references stand for. Rows of an env runner that has died since are lost."""
    found: list[Batches] = []
    for batch in batches:
        try:
            found.append(ray.get(batch) if isinstance(batch, ObjectRef) else batch)
        except ObjectLostError:
            logger.warning("an env runner has died before its rows were fetched: they are not trained on")
    return found
