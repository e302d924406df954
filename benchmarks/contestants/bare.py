"""The bare loop: our batched Connect Four and PPO in plain torch, one process, one thread, nothing between them.

What this machine can do for this game and network. No Ray, no league, no opponents, no metrics, no checkpoints, no
faults to survive, no game but this one. The loss, the networks and the settings are the app's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.contestant import Steps
from benchmarks.settings import Settings
from envs.connect_four import ConnectFour

ILLEGAL = -1e9
CRITIC_ROWS = 8192


class Fragment(NamedTuple):
    """T steps of B matches: rows [T * B, ...] in the order of time, and what follows the last step.

    `rewards` is the mover's; a loser's reward is minus that of the winner's move.
    """

    observations: Tensor
    masks: Tensor
    actions: Tensor
    logps: Tensor
    rewards: Tensor
    ended: Tensor
    next_observations: Tensor


class BareLoop:
    """Self-play PPO on Connect Four."""

    def __init__(self, settings: Settings) -> None:
        torch.manual_seed(0)
        self._rng = np.random.default_rng(0)
        self._settings = settings.algorithm()
        self._env = ConnectFour(settings.matches)
        self._env.reset(self._rng)
        self._all = np.arange(settings.matches)
        self._steps = settings.rows // settings.matches
        inputs = int(np.prod(self._env.groups[0].observation_space.shape))
        self.policy = network(inputs, settings.hidden, 7, gain=0.01)
        self._critic = network(inputs, settings.hidden, 1, gain=1.0)
        self._parameters = [*self.policy.parameters(), *self._critic.parameters()]
        self._optimizer = torch.optim.Adam(self._parameters, lr=self._settings["lr"], fused=True)

    def iterate(self, learn: bool) -> Steps:
        """One fragment of every match, and what PPO makes of it."""
        with torch.inference_mode():
            fragment = self._collect()
            advantages, targets = self._advantages(fragment)
        if learn:
            self._learn(fragment, advantages, targets)
        rows = len(fragment.actions)
        return Steps(rows, rows)

    def close(self) -> None:
        """Nothing was started."""

    def _collect(self) -> Fragment:
        env, rng = self._env, self._rng
        count = env.num_matches
        rows = self._steps * count
        observations = torch.empty((rows, 84), dtype=torch.int8)
        masks = torch.empty((rows, 7), dtype=torch.bool)
        actions, logps = torch.empty(rows, dtype=torch.int64), torch.empty(rows)
        rewards, ended = np.zeros(rows, np.float32), np.zeros(rows, np.bool_)
        to_env = np.zeros((count, 2), np.int64)
        for start in range(0, rows, count):
            step = slice(start, start + count)
            movers = env.acting()[:, 1].astype(np.int64)
            observations[step] = torch.from_numpy(env.observe(self._all, movers)).flatten(1)
            masks[step] = torch.from_numpy(env.action_mask(self._all, movers))
            log_probs = self._log_probs(observations[step], masks[step])
            chosen = torch.multinomial(log_probs.exp(), 1)
            actions[step] = chosen.squeeze(1)
            logps[step] = log_probs.gather(1, chosen).squeeze(1)
            to_env[:] = chosen.numpy()
            answer = env.step([to_env], rng)
            rewards[step] = answer.rewards[self._all, movers]
            ended[step] = answer.terminated
            env.reset(rng, np.flatnonzero(answer.terminated))
        movers = env.acting()[:, 1].astype(np.int64)
        after = torch.from_numpy(env.observe(self._all, movers)).flatten(1)
        return Fragment(observations, masks, actions, logps, torch.from_numpy(rewards), torch.from_numpy(ended), after)

    def _log_probs(self, observations: Tensor, masks: Tensor) -> Tensor:
        return torch.where(masks, self.policy(observations.float()), ILLEGAL).log_softmax(1)

    def _values(self, observations: Tensor) -> Tensor:
        return torch.cat([self._critic(rows.float()).squeeze(1) for rows in observations.split(CRITIC_ROWS)])

    def _advantages(self, fragment: Fragment) -> tuple[Tensor, Tensor]:
        """Advantages (standardized) and value targets [T * B].

        A mover's next decision is two steps on, if the match lasts. The first one after the fragment is valued by who
        makes it; the second by minus that, as one side's gain is the other's loss.
        """
        gamma, lambda_ = self._settings["gamma"], self._settings["lambda_"]
        shape = (self._steps, self._env.num_matches)
        values = self._values(torch.cat([fragment.observations, fragment.next_observations])).view(-1, shape[1])
        values = torch.cat([values, -values[-1:]])
        rewards, lasts = fragment.rewards.view(shape), (~fragment.ended).view(shape).float()
        nobody = torch.zeros(1, shape[1])
        own = rewards - lasts * torch.cat([rewards[1:], nobody])
        alive = lasts * torch.cat([lasts[1:], nobody + 1])
        deltas = own + gamma * alive * values[2:] - values[:-2]
        decay = gamma * lambda_ * alive
        advantages = torch.zeros(shape[0] + 2, shape[1])
        for step in reversed(range(shape[0])):
            torch.addcmul(deltas[step], decay[step], advantages[step + 2], out=advantages[step])
        targets = (advantages[:-2] + values[:-2]).flatten()
        flat = advantages[:-2].flatten()
        return (flat - flat.mean()) / flat.std().clamp(min=1e-4), targets

    def _learn(self, fragment: Fragment, advantages: Tensor, targets: Tensor) -> None:
        settings = self._settings
        columns = (*fragment[:4], advantages, targets)
        for rows in minibatches(len(targets), settings["num_epochs"], settings["minibatch_size"]):
            loss = self._loss(*(column.index_select(0, rows) for column in columns))
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self._parameters, settings["grad_clip"])
            self._optimizer.step()

    def _loss(
        self, observations: Tensor, masks: Tensor, actions: Tensor, old: Tensor, advantages: Tensor, targets: Tensor
    ) -> Tensor:
        settings = self._settings
        seen = observations.float()
        log_probs = torch.where(masks, self.policy(seen), ILLEGAL).log_softmax(1)
        ratio = (log_probs.gather(1, actions[:, None]).squeeze(1) - old).exp()
        clipped = ratio.clamp(1 - settings["clip_param"], 1 + settings["clip_param"])
        surrogate = torch.min(advantages * ratio, advantages * clipped)
        entropy = -(log_probs.exp() * log_probs).sum(1)
        value_error = (self._critic(seen).squeeze(1) - targets).square()
        return (settings["vf_loss_coeff"] * value_error - surrogate - settings["entropy_coeff"] * entropy).mean()


def network(inputs: int, hidden: Sequence[int], outputs: int, gain: float) -> nn.Module:
    """A perceptron with tanh layers and PPO's orthogonal initialization."""
    widths = [inputs, *hidden]
    layers: list[nn.Module] = []
    for size, width in zip(widths[:-1], widths[1:], strict=True):
        layers += [linear(size, width, 2**0.5), nn.Tanh()]
    return nn.Sequential(*layers, linear(widths[-1], outputs, gain))


def linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    """A dense layer with orthogonal weights and zero biases."""
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def minibatches(rows: int, epochs: int, size: int) -> Iterator[Any]:
    """Indices of random minibatches: every row once per epoch."""
    for _ in range(epochs):
        yield from torch.randperm(rows).split(size)
