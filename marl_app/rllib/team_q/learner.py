"""The learner of value decomposition: Q-learning of a team's value, from segments of matches.

One loss for the whole team: the TD error of the mixed value, whose gradient reaches the agents' networks through the
mixer. Otherwise deep Q-learning (Mnih et al., 2015) with double Q (van Hasselt et al., 2016) per agent, as in PyMARL.
One update, as RLlib calls the hooks: `_create_iterator_if_necessary` makes minibatches of segments, `_update` makes a
gradient step on each, `after_gradient_based_update` logs the last one and updates the target networks.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME
from torch import Tensor
from torch.nn.functional import huber_loss, mse_loss

from marl_app.players.modules.actor_critic import ACTION_MASK, LENGTHS, MEMORY, STATE
from marl_app.players.modules.epsilon_greedy import ILLEGAL
from marl_app.players.networks import Network
from marl_app.rllib.gradients import clip_and_step
from marl_app.rllib.seeding import seed_learner
from marl_app.rllib.team_q.collector import CLOSING, PER_SEGMENT, TEAM

Batch = Mapping[str, Mapping[str, Tensor]]


class TeamLearner(TorchLearner):
    """Trains the agents' networks and the mixer together, with one optimizer. The mixer's batch is the team's columns.

    Target networks are only used here, and are kept in checkpoints. `_terms` (figures of the last minibatch) is set by
    `_update` and read by `after_gradient_based_update`, which RLlib calls after it.
    """

    def build(self) -> None:
        """As RLlib, on one thread (see `MinibatchPPOLearner`), and copy the networks as targets."""
        torch.set_num_threads(1)
        seed_learner(self.config)
        self._mixer_id = self.config.module_id(TEAM)
        self._network_ids = [(network, self.config.module_id(network.name)) for network in self.config.spec.networks]
        self._all_ids = [self._mixer_id, *(network_id for _, network_id in self._network_ids)]
        super().build()
        self._targets = {
            module_id: copy.deepcopy(self.module[module_id]).requires_grad_(False) for module_id in self._all_ids
        }
        self._targets_updated = 0  # env steps of the run at the last update of the targets

    def configure_optimizers(self) -> None:
        """Use one Adam for all networks and the mixer."""
        params = [parameter for module_id in self._all_ids for parameter in self.get_parameters(self.module[module_id])]
        optimizer = torch.optim.Adam(params, fused=True)
        self.register_optimizer(
            module_id=self._mixer_id, optimizer=optimizer, params=params, lr_or_lr_schedule=self.config.lr
        )

    def compute_loss_for_module(self, **kwargs: Any) -> Tensor:
        """Not used: RLlib requires a loss per module, and `_update` computes one for all modules."""
        raise NotImplementedError

    def _create_iterator_if_necessary(
        self, *, training_data: TrainingData, minibatch_size: int | None = None, **kwargs: Any
    ) -> Iterator[MultiAgentBatch]:
        """Yield minibatches of `minibatch_size` segments each (None: all)."""
        batches = self._make_batch_if_necessary(training_data=training_data).policy_batches
        self._learn_statistics(batches)
        lengths = batches[self._mixer_id][LENGTHS]
        ends = [0, *lengths.cumsum(0).tolist()]  # rows of segment s: ends[s] to ends[s + 1]
        # The replay buffer has drawn the segments at random, so consecutive ones are a random minibatch.
        size = minibatch_size or len(lengths)
        for start in range(0, len(lengths), size):
            stop = min(start + size, len(lengths))
            segments, rows = slice(start, stop), slice(ends[start], ends[stop])
            minibatch = {
                module_id: {name: values[segments if name in PER_SEGMENT else rows] for name, values in columns.items()}
                for module_id, columns in batches.items()
            }
            yield MultiAgentBatch(
                {module_id: SampleBatch(columns) for module_id, columns in minibatch.items()}, rows.stop - rows.start
            )

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _learn_statistics(self, batches: Batch) -> None:
        """Include a batch in the running statistics of inputs, of the targets too, before it is trained on.

        Otherwise values would be learned, and bootstrapped from, for inputs in units that change with the batch.
        """
        for _, network_id in self._network_ids:
            observations = batches[network_id][Columns.OBS].flatten(0, 1)  # [rows * agents, ...]
            self.module[network_id].learn_statistics({Columns.OBS: observations})
        if STATE in batches[self._mixer_id]:
            self.module[self._mixer_id].learn_statistics(batches[self._mixer_id][STATE])
        # Targets have the statistics of the trained networks at once; only their weights lag behind.
        for module_id, target in self._targets.items():
            for target_buffer, buffer in zip(target.buffers(), self.module[module_id].buffers(), strict=True):
                target_buffer.copy_(buffer)

    def _update(self, batch: Batch, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Make one gradient step on a minibatch: columns by module id."""
        config = self.config
        # 1. The TD error of the team's value, [steps].
        values, targets = self.team_values(batch)
        huber_delta = config.settings.huber_delta
        if huber_delta is None:
            loss = mse_loss(values, targets)
        else:
            loss = huber_loss(values, targets, delta=huber_delta)
        # 2. One gradient step of all networks and the mixer.
        optimizer = self.get_optimizer(self._mixer_id)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = optimizer.param_groups[0]["params"]
        norm = clip_and_step(optimizer, parameters, config.grad_clip, config.grad_clip_by, self._mixer_id)
        # 3. Figures for the log.
        error, value = (targets - values).detach().abs().mean(), values.detach().mean()
        self._terms = {"total_loss": loss.detach(), "td_error": error, "q_mean": value, "grad_norm": norm}
        return {}, {self._mixer_id: loss.detach()}, {}

    def team_values(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the team's value of each step's actions, and its target: [steps] each. `batch`: columns by module id.

        target = reward + gamma * (0 if the match was terminated, else the targets' value of the best next actions).
        """
        team = batch[self._mixer_id]
        # Per network [rows, agents]: the value of the actions taken, and the targets' value of the best actions.
        chosen, best = [], []
        for network, network_id in self._network_ids:
            columns = batch[network_id]
            values = action_values(self.module[network_id], network, columns, team[LENGTHS])
            chosen.append(values.gather(2, columns[Columns.ACTIONS].long()[..., None]).squeeze(2))
            with torch.no_grad():
                targets = action_values(self._targets[network_id], network, columns, team[LENGTHS])
                # Double Q: the trained networks choose the best action, the target networks value it.
                chooser = _legal(
                    values.detach() if self.config.settings.double_q else targets,
                    columns.get(ACTION_MASK),
                )
                best.append(targets.gather(2, chooser.argmax(dim=2, keepdim=True)).squeeze(2))
        state = team.get(STATE)
        total = self.module[self._mixer_id].mix(torch.cat(chosen, dim=1), state)
        with torch.no_grad():
            # Row r needs the value of row r + 1, its successor in the segment. The last row of the minibatch reads row
            # 0, which is harmless: it is a closing row, which is dropped below, or terminated, and masked.
            later = self._targets[self._mixer_id].mix(torch.cat(best, dim=1), state).roll(-1)
            targets = team[Columns.REWARDS] + self.config.gamma * later.masked_fill(team[Columns.TERMINATEDS], 0.0)
        steps = ~team[CLOSING]
        return total[steps], targets[steps]

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Log the last minibatch, and update the target networks if it is due."""
        self.metrics.log_dict({k: float(term) for k, term in self._terms.items()}, key=self._mixer_id, window=1)
        now = timesteps[NUM_ENV_STEPS_SAMPLED_LIFETIME]
        if now - self._targets_updated >= self.config.settings.target_network_update_freq:
            self._targets_updated = now
            self._update_targets(self.config.settings.tau)
        super().after_gradient_based_update(timesteps=timesteps)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _update_targets(self, tau: float) -> None:
        """Move the target networks toward the trained ones: target + tau * (trained - target)."""
        for module_id, target in self._targets.items():
            trained = self.module[module_id].state_dict().values()
            for target_value, trained_value in zip(target.state_dict().values(), trained, strict=True):
                target_value.lerp_(trained_value, tau)

    # What a checkpoint keeps in addition to weights and the optimizer.

    def extra_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return (arrays, other values): the weights of mixer and targets; when the targets were updated."""
        arrays = {
            f"{name}/{key}": value.cpu().numpy().copy()
            for name, module in self._extra_modules().items()
            for key, value in module.state_dict().items()
        }
        return arrays, {"targets_updated": self._targets_updated}

    def _extra_modules(self) -> dict[str, Any]:
        """Return the mixer and the targets by their names in a checkpoint."""
        return {"mixer": self.module[self._mixer_id], **{f"target.{name}": m for name, m in self._targets.items()}}

    def load_extra_state(self, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any], env_steps: int) -> None:
        """Restore what `extra_state` returned."""
        for name, module in self._extra_modules().items():
            module.load_state_dict({key: torch.from_numpy(arrays[f"{name}/{key}"]) for key in module.state_dict()})
        self._targets_updated = plain["targets_updated"]


def action_values(module: Any, network: Network, columns: Mapping[str, Tensor], lengths: Tensor) -> Tensor:
    """Return the values [R, k, n] of the n actions of the k agents that a network plays. `lengths` [S]: of segments.

    The rows are passed agent by agent, [k * R, ...], so that the rows of a memory's sequence follow one another.
    """
    # [k, R, ...]
    observations = columns[Columns.OBS].transpose(0, 1)
    agents, rows = observations.shape[:2]
    ids = torch.tensor(network.agents, device=observations.device).repeat_interleave(rows)
    memory = columns.get(MEMORY)
    if memory is not None:
        memory = memory.transpose(0, 1).flatten(0, 1)
    values = module.action_values(observations.flatten(0, 1), ids, memory, lengths.repeat(agents))
    # [k * R, n] -> [R, k, n]
    return values.view(agents, rows, -1).transpose(0, 1)


def _legal(values: Tensor, mask: Tensor | None) -> Tensor:
    """Return values [R, k, n] with ILLEGAL for illegal actions; unchanged where no action is legal (closed rows)."""
    if mask is None:
        return values
    return values.masked_fill(~mask & mask.any(dim=2, keepdim=True), ILLEGAL)
