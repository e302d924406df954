"""The bare loop: our batched games and PPO in plain torch, in one process with one thread.

An estimate of what a core of this machine can do for these games and this network: no Ray, league, opponents, metrics,
checkpoints or fault tolerance, and only these two games. Loss, networks and settings are those of the app.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.contestant import Steps
from benchmarks.settings import Settings
from marl_app.envs.batched import BatchedEnv
from marl_app.envs.connect_four import ConnectFour
from marl_app.envs.simple_spread import SimpleSpread

ILLEGAL_LOGIT = -1e9


class Rollout(NamedTuple):
    """T steps of D decisions each: rows [T * D, ...] in the order of time.

    masks: None if every action is always legal. rewards: of the deciding agent. ended: 1 where its match has ended.
    next_values: [D], the values of the observations after the last step.
    """

    observations: Tensor
    masks: Tensor | None
    actions: Tensor
    logps: Tensor
    values: Tensor
    rewards: Tensor
    ended: Tensor
    next_values: Tensor


class BareLoop(ABC):
    """PPO with one network for all agents of `env`, of which `deciders` act in each step. Subclasses play the game."""

    decision_interval: int
    """Steps until the same agent acts again."""

    def __init__(self, settings: Settings, env: BatchedEnv, deciders: int) -> None:
        torch.manual_seed(0)
        self._rng = np.random.default_rng(0)
        self._settings = settings.algorithm()
        self._env = env
        env.reset(self._rng)
        self._decisions = settings.matches * deciders
        # Steps of each match in a batch of `rows` env steps.
        self._steps = settings.rows // settings.matches
        group = env.groups[0]
        inputs = int(np.prod(group.observation_space.shape))
        # As in the app: a small gain of the policy head, so that it begins nearly uniform, and a separate critic.
        self.policy = make_network(inputs, settings.hidden, group.mask_size, gain=0.01)
        self._critic = make_network(inputs, settings.hidden, 1, gain=1.0)
        self._parameters = [*self.policy.parameters(), *self._critic.parameters()]
        self._optimizer = torch.optim.Adam(self._parameters, lr=self._settings["lr"], fused=True)

    def iterate(self, learn: bool) -> Steps:
        """Collect a rollout of every match, compute advantages, and with `learn` update the network."""
        with torch.inference_mode():
            rollout = self._collect()
            advantages, targets = self._advantages(rollout)
        if learn:
            self._learn(rollout, advantages, targets)
        return Steps(self._steps * self._env.num_matches, len(rollout.actions))

    def facts(self) -> dict[str, float]:
        """Return the size of the networks."""
        return {"parameters": sum(parameter.numel() for parameter in self._parameters)}

    def close(self) -> None:  # noqa: B027 - nothing to do
        """Nothing was started."""

    @abstractmethod
    def _observe(self) -> tuple[Tensor, Tensor | None]:
        """Return the observations of the agents that must act now [D, inputs], and their masks [D, actions] or None."""

    @abstractmethod
    def _step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Step with the actions [D] and reset ended matches; returns rewards [D], and bool [D]: the match has ended."""

    @abstractmethod
    def _transitions(self, rollout: Rollout) -> tuple[Tensor, Tensor, Tensor]:
        """Return three arrays [T, D] for each decision: the rewards until the same agent decides again, 1 if it does
        so in this match (else 0), and the value of that next decision."""

    def _collect(self) -> Rollout:
        count = self._decisions
        rows = self._steps * count
        # Arrays for the whole rollout, filled step by step.
        actions = torch.empty(rows, dtype=torch.int64)
        logps, values, rewards, ended = torch.empty(4, rows)
        observations = masks = None  # allocated in the first step, when their widths are known
        for start in range(0, rows, count):
            step = slice(start, start + count)
            seen, mask = self._observe()
            if observations is None:
                observations = torch.empty((rows, seen.shape[1]), dtype=seen.dtype)
                masks = None if mask is None else torch.empty((rows, mask.shape[1]), dtype=mask.dtype)
            # 1. Observe.
            observations[step] = seen
            if masks is not None:
                masks[step] = mask
            # 2. Act: draw from the policy, whose illegal actions have probability 0.
            seen = seen.float()
            log_probs = self._log_probs(seen, mask)
            chosen = torch.multinomial(log_probs.exp(), 1)
            actions[step] = chosen.squeeze(1)
            logps[step] = log_probs.gather(1, chosen).squeeze(1)
            # 3. Step.
            values[step] = self._critic(seen).squeeze(1)
            rewards[step], ended[step] = map(torch.from_numpy, self._step(chosen.squeeze(1).numpy()))
        # The values from which the last steps are bootstrapped.
        next_values = self._critic(self._observe()[0].float()).squeeze(1)
        return Rollout(observations, masks, actions, logps, values, rewards, ended, next_values)

    def _log_probs(self, seen: Tensor, masks: Tensor | None) -> Tensor:
        logits = self.policy(seen)
        return (logits if masks is None else torch.where(masks, logits, ILLEGAL_LOGIT)).log_softmax(1)

    def _advantages(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Return advantages by GAE, standardized, and value targets: [T * D] each."""
        gamma, lambda_ = self._settings["gamma"], self._settings["lambda_"]
        # All [T, D]: deltas are r + gamma V(next) - V, with the next decision of the same agent.
        rewards, alive, following = self._transitions(rollout)
        values = rollout.values.view_as(rewards)
        deltas = rewards + gamma * alive * following - values
        decay = gamma * lambda_ * alive
        advantages = torch.zeros(len(deltas) + self.decision_interval, self._decisions)
        # A_t = delta_t + gamma lambda A_(t + interval); the rows after the end are zeros, and so bootstrap from values.
        for step in reversed(range(len(deltas))):
            torch.addcmul(deltas[step], decay[step], advantages[step + self.decision_interval], out=advantages[step])
        advantages = advantages[: -self.decision_interval]
        targets = (advantages + values).flatten()
        flat = advantages.flatten()
        return (flat - flat.mean()) / flat.std().clamp(min=1e-4), targets

    def _learn(self, rollout: Rollout, advantages: Tensor, targets: Tensor) -> None:
        settings = self._settings
        # Columns of all rows; `masks` may be None. Each minibatch gathers its rows from all of them.
        columns = (*rollout[:4], advantages, targets)
        for rows in minibatches(len(targets), settings["num_epochs"], settings["minibatch_size"]):
            loss = self._loss(*(None if column is None else column.index_select(0, rows) for column in columns))
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self._parameters, settings["grad_clip"])
            self._optimizer.step()

    def _loss(
        self,
        observations: Tensor,
        masks: Tensor | None,
        actions: Tensor,
        old: Tensor,
        advantages: Tensor,
        targets: Tensor,
    ) -> Tensor:
        """The clipped surrogate loss of PPO with value loss and entropy bonus; `old`: log-probabilities when acting."""
        settings = self._settings
        seen = observations.float()
        log_probs = self._log_probs(seen, masks)
        # Probability of the action now, relative to that when it was played.
        ratio = (log_probs.gather(1, actions[:, None]).squeeze(1) - old).exp()
        clipped = ratio.clamp(1 - settings["clip_param"], 1 + settings["clip_param"])
        surrogate = torch.min(advantages * ratio, advantages * clipped)
        entropy = -(log_probs.exp() * log_probs).sum(1)
        value_error = (self._critic(seen).squeeze(1) - targets).square()
        return (settings["vf_loss_coeff"] * value_error - surrogate - settings["entropy_coeff"] * entropy).mean()


class ConnectFourLoop(BareLoop):
    """Self-play on Connect Four: D = matches. The reward of the loser is minus that of the winning move."""

    decision_interval = 2

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, ConnectFour(settings.matches), deciders=1)
        self._matches = np.arange(settings.matches)
        self._to_env = np.zeros((settings.matches, 2), np.int64)  # [B, 2]: the environment ignores the other agent

    def _observe(self) -> tuple[Tensor, Tensor]:
        env = self._env
        self._movers = env.acting()[:, 1].astype(np.int64)
        seen = torch.from_numpy(env.observe(self._matches, self._movers)).flatten(1)
        return seen, torch.from_numpy(env.action_mask(self._matches, self._movers))

    def _step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._to_env[:] = actions[:, None]
        step = self._env.step([self._to_env], self._rng)
        self._env.reset(self._rng, np.flatnonzero(step.over))
        return step.rewards[self._matches, self._movers], step.over

    def _transitions(self, rollout: Rollout) -> tuple[Tensor, Tensor, Tensor]:
        """Subtract the reward of the opponent's reply from each reward: the game is zero-sum.

        An agent that decides at step t decides again at t + 2. After step T - 2 the next value is `next_values`; after
        step T - 1 it is the other agent that moves next, so the next value is minus `next_values`.
        """
        shape = (self._steps, self._decisions)
        zeros = torch.zeros(1, shape[1])
        rewards, lasts = rollout.rewards.view(shape), 1 - rollout.ended.view(shape)
        values = torch.cat([rollout.values, rollout.next_values, -rollout.next_values]).view(-1, shape[1])
        # An agent decides again if neither its own move nor the reply to it ends the match.
        alive = lasts * torch.cat([lasts[1:], zeros + 1])
        return rewards - lasts * torch.cat([rewards[1:], zeros]), alive, values[2:]


class SimpleSpreadLoop(BareLoop):
    """IPPO with parameter sharing on Simple Spread: D = matches * agents."""

    decision_interval = 1

    def __init__(self, settings: Settings) -> None:
        env = SimpleSpread(settings.matches)
        agents = len(env.agents)
        super().__init__(settings, env, agents)
        # matches [D], agents [D]: all agents of match 0, then of match 1, ...
        self._seats = np.arange(settings.matches).repeat(agents), np.tile(np.arange(agents), settings.matches)

    def _observe(self) -> tuple[Tensor, None]:
        return torch.from_numpy(self._env.observe(*self._seats)), None

    def _step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Step and reset; the reward of a truncated match includes gamma * the value of its last observation."""
        env = self._env
        step = env.step([actions.reshape(env.num_matches, -1)], self._rng)
        # Simple Spread ends by truncation only: the value of the last observation stands for the rewards cut off.
        rewards, ended = step.rewards.ravel(), step.truncated.ravel()
        if ended.any():
            final = torch.from_numpy(env.observe(*(seats[ended] for seats in self._seats)))
            rewards[ended] += self._settings["gamma"] * self._critic(final).squeeze(1).numpy()
            env.reset(self._rng, np.flatnonzero(step.over))
        return rewards, ended

    def _transitions(self, rollout: Rollout) -> tuple[Tensor, Tensor, Tensor]:
        shape = (self._steps, self._decisions)
        values = torch.cat([rollout.values, rollout.next_values]).view(-1, shape[1])
        return rollout.rewards.view(shape), 1 - rollout.ended.view(shape), values[1:]


LOOPS = {"connect_four": ConnectFourLoop, "simple_spread": SimpleSpreadLoop}


def make_network(inputs: int, hidden: Sequence[int], outputs: int, gain: float) -> nn.Module:
    """Return a perceptron with tanh layers and PPO's orthogonal initialization."""
    widths = [inputs, *hidden]
    layers: list[nn.Module] = []
    for size, width in zip(widths[:-1], widths[1:], strict=True):
        layers += [make_linear(size, width, 2**0.5), nn.Tanh()]
    return nn.Sequential(*layers, make_linear(widths[-1], outputs, gain))


def make_linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    """Return a dense layer with orthogonal weights and zero biases."""
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def minibatches(rows: int, epochs: int, size: int) -> Iterator[Any]:
    """Yield the row indices of random minibatches: every row once per epoch."""
    for _ in range(epochs):
        yield from torch.randperm(rows).split(size)
