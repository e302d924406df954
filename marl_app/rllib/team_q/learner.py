"""Q-learning of a team's value, from segments of matches: RLlib's learner machinery with a loss of our own.

One loss for the whole team: the TD error of the mixed value, whose gradient reaches the agents' networks through the
mixer. Deep Q-learning otherwise (Mnih et al., 2015), with double Q (van Hasselt et al., 2016) per agent, as in PyMARL.
"""

from __future__ import annotations

import copy
import logging
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
from marl_app.rllib.ppo.learner import clip_gradients
from marl_app.rllib.team_q.collector import CLOSING, PER_SEGMENT, TEAM

logger = logging.getLogger(__name__)

Batch = Mapping[str, Mapping[str, Tensor]]


class TeamLearner(TorchLearner):
    """Trains the agents' networks and the mixer together, by one optimizer; the mixer's batch is the team's columns.

    The target networks are copies that no one else needs: they stay here, and in checkpoints.
    """

    def build(self) -> None:
        """As RLlib, on one thread (see `MinibatchPPOLearner`), with target networks."""
        torch.set_num_threads(1)
        self._mixer_id = self.config.module_id(TEAM)
        self._network_ids = [(network, self.config.module_id(network.name)) for network in self.config.spec.networks]
        self._all_ids = [self._mixer_id, *(id for _, id in self._network_ids)]
        super().build()
        self._targets = {id: copy.deepcopy(self.module[id]).requires_grad_(False) for id in self._all_ids}
        self._targets_updated = 0

    def configure_optimizers(self) -> None:
        """One Adam for all."""
        params = [parameter for id in self._all_ids for parameter in self.get_parameters(self.module[id])]
        optimizer = torch.optim.Adam(params, fused=True)
        self.register_optimizer(
            module_id=self._mixer_id, optimizer=optimizer, params=params, lr_or_lr_schedule=self.config.lr
        )

    def compute_loss_for_module(self, **kwargs: Any) -> Tensor:
        """RLlib asks for a loss per module; here is one for all, `team_values`."""
        raise NotImplementedError

    def _create_iterator_if_necessary(
        self, *, training_data: TrainingData, minibatch_size: int | None = None, **kwargs: Any
    ) -> Iterator[MultiAgentBatch]:
        """Minibatches of `minibatch_size` segments each."""
        batches = self._make_batch_if_necessary(training_data=training_data).policy_batches
        self._learn_statistics(batches)
        lengths = batches[self._mixer_id][LENGTHS]
        ends = [0, *lengths.cumsum(0).tolist()]
        size = minibatch_size or len(lengths)
        for start in range(0, len(lengths), size):
            stop = min(start + size, len(lengths))
            segments, rows = slice(start, stop), slice(ends[start], ends[stop])
            self._minibatch = {
                id: {name: values[segments if name in PER_SEGMENT else rows] for name, values in columns.items()}
                for id, columns in batches.items()
            }
            yield MultiAgentBatch(
                {id: SampleBatch(columns) for id, columns in self._minibatch.items()}, rows.stop - rows.start
            )

    @torch.no_grad()
    def _learn_statistics(self, batches: Batch) -> None:
        """Let running statistics of inputs, the targets' as well, see a batch before it is trained on.

        Values of inputs in units that are about to change would be learned, and bootstrapped from, for a long time.
        """
        for _, id in self._network_ids:
            self.module[id].learn_statistics({Columns.OBS: batches[id][Columns.OBS].flatten(0, 1)})
        if STATE in batches[self._mixer_id]:
            self.module[self._mixer_id].learn_statistics(batches[self._mixer_id][STATE])
        for id, target in self._targets.items():
            for theirs, ours in zip(target.buffers(), self.module[id].buffers(), strict=True):
                theirs.copy_(ours)

    def _update(self, batch: Batch, **kwargs: Any) -> tuple[dict, dict, dict]:
        """One gradient step. A gradient that is not finite is left out, with a warning."""
        config = self.config
        values, targets = self.team_values(batch)
        huber_delta = config.settings.huber_delta
        if huber_delta is None:
            loss = mse_loss(values, targets)
        else:
            loss = huber_loss(values, targets, delta=huber_delta)
        optimizer = self.get_optimizer(self._mixer_id)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = optimizer.param_groups[0]["params"]
        norm = clip_gradients(parameters, config.grad_clip, config.grad_clip_by)
        if torch.isfinite(norm):
            optimizer.step()
        else:
            logger.warning("the gradient is not finite: this step is left out")
        error, value = (targets - values).detach().abs().mean(), values.detach().mean()
        self._terms = {"total_loss": loss.detach(), "td_error": error, "q_mean": value, "grad_norm": norm}
        return {}, {self._mixer_id: loss.detach()}, {}

    def team_values(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The team's value of each step's actions, and its target, by columns under module ids: [steps] each.

        target = reward + gamma * (0 if the match was terminated, else the targets' value of the best next actions).
        """
        team = batch[self._mixer_id]
        chosen, best = [], []
        for network, id in self._network_ids:
            columns = batch[id]
            values = action_values(self.module[id], network, columns, team[LENGTHS])
            chosen.append(values.gather(2, columns[Columns.ACTIONS].long()[..., None]).squeeze(2))
            with torch.no_grad():
                targets = action_values(self._targets[id], network, columns, team[LENGTHS])
                chooser = _legal(
                    values.detach() if self.config.settings.double_q else targets,
                    columns.get(ACTION_MASK),
                )
                best.append(targets.gather(2, chooser.argmax(dim=2, keepdim=True)).squeeze(2))
        state = team.get(STATE)
        total = self.module[self._mixer_id].mix(torch.cat(chosen, dim=1), state)
        with torch.no_grad():
            later = self._targets[self._mixer_id].mix(torch.cat(best, dim=1), state).roll(-1)  # of the row after
            targets = team[Columns.REWARDS] + self.config.gamma * later.masked_fill(team[Columns.TERMINATEDS], 0.0)
        steps = ~team[CLOSING]
        return total[steps], targets[steps]

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """As RLlib; logs the last minibatch, and updates the targets."""
        self.metrics.log_dict({k: float(term) for k, term in self._terms.items()}, key=self._mixer_id, window=1)
        now = timesteps[NUM_ENV_STEPS_SAMPLED_LIFETIME]
        if now - self._targets_updated >= self.config.settings.target_network_update_freq:
            self._targets_updated = now
            self._update_targets(self.config.settings.tau)
        super().after_gradient_based_update(timesteps=timesteps)

    @torch.no_grad()
    def _update_targets(self, tau: float) -> None:
        for id, target in self._targets.items():
            for ours, theirs in zip(target.state_dict().values(), self.module[id].state_dict().values(), strict=True):
                ours.lerp_(theirs, tau)

    # What a checkpoint holds beside the players' weights and the optimizer.

    def own_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The mixer's weights and all targets'; when these were updated."""
        modules = {"mixer": self.module[self._mixer_id]} | {f"target.{id}": m for id, m in self._targets.items()}
        arrays = {
            f"{name}/{key}": value.cpu().numpy().copy()
            for name, module in modules.items()
            for key, value in module.state_dict().items()
        }
        return arrays, {"targets_updated": self._targets_updated}

    def load_own_state(self, arrays: Mapping[str, np.ndarray], plain: Mapping[str, Any]) -> None:
        """The inverse of `own_state`."""
        modules = {"mixer": self.module[self._mixer_id]} | {f"target.{id}": m for id, m in self._targets.items()}
        for name, module in modules.items():
            module.load_state_dict({key: torch.from_numpy(arrays[f"{name}/{key}"]) for key in module.state_dict()})
        self._targets_updated = plain["targets_updated"]


def action_values(module: Any, network: Network, columns: Mapping[str, Tensor], lengths: Tensor) -> Tensor:
    """Values [R, k, n] of every action of the k agents that a network plays, in rows of segments of these lengths.

    Each agent's rows go through the network as one agent's after another's, so that a memory finds its sequences.
    """
    observations = columns[Columns.OBS].transpose(0, 1)
    agents, rows = observations.shape[:2]
    ids = torch.tensor(network.agents, device=observations.device).repeat_interleave(rows)
    memory = columns.get(MEMORY)
    if memory is not None:
        memory = memory.transpose(0, 1).flatten(0, 1)
    values = module.action_values(observations.flatten(0, 1), ids, memory, lengths.repeat(agents))
    return values.view(agents, rows, -1).transpose(0, 1)


def _legal(values: Tensor, mask: Tensor | None) -> Tensor:
    """The values, with ILLEGAL for those of illegal actions; where none is known to be legal, as they are."""
    if mask is None:
        return values
    return values.masked_fill(~mask & mask.any(dim=2, keepdim=True), ILLEGAL)
