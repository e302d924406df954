"""What every network here shares: policy and value heads over encoders, legal-action masks, three action spaces.

An architecture is a subclass of `ActorCritic` with one method, `make_encoder`, and its settings, an `Architecture`.
Observations are rows of one array in the environment's own dtype (int8 boards stay int8 until they reach the network);
masks, agent ids, global states and memories are batch columns of their own. Batch rows carry no time axis: the rows of
a recurrent network come in sequences, one after the other, with their lengths in a column.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import (
    TorchCategorical,
    TorchDiagGaussian,
    TorchMultiCategorical,
)
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn

from marl_app.players.modules.epsilon_greedy import ILLEGAL, log_epsilon_greedy
from marl_app.players.modules.heads import Head, Memory, Normalize, ValueHead, initialize, orthogonal
from marl_app.players.modules.precision import PRECISIONS

ACTION_MASK = "action_mask"
AGENT_ID = "agent_id"
STATE = "state"
"""What a centralized critic sees: float32 [R, state size]."""
MEMORY = "memory"
"""What was remembered before each row when playing, before each sequence when training: float32 [R or S, size]."""
LENGTHS = "sequence_lengths"
"""Rows of each sequence: int64 [S]."""

# RLModule's own constructor triggers RLlib's deprecation warning, for every module in every process.
logging.getLogger("ray._common.deprecation").setLevel(logging.ERROR)

# torch checks the arguments of every distribution that is made, in every forward pass: a tenth of acting's time.
torch.distributions.Distribution.set_default_validate_args(False)


class Tanh(nn.Module):
    """The hyperbolic tangent; in float32 on CPUs as 2 sigmoid(2 x) - 1, where torch has no fast one of its own."""

    def forward(self, inputs: Tensor) -> Tensor:
        """tanh of each input."""
        if inputs.dtype != torch.float32 or inputs.device.type != "cpu":
            return torch.tanh(inputs)
        return _TanhBySigmoid.apply(inputs) if inputs.requires_grad else _tanh_by_sigmoid(inputs)


def _tanh_by_sigmoid(inputs: Tensor) -> Tensor:
    return (inputs * 2).sigmoid_().mul_(2).sub_(1)


class _TanhBySigmoid(torch.autograd.Function):
    """With the gradient of the tangent, which is one pass over memory instead of three."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        output = _tanh_by_sigmoid(inputs)
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (output,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(gradient, output)


ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": Tanh, "silu": nn.SiLU}


class ActorCritic(TorchRLModule, ValueFunctionAPI):
    """RLModule with encoders for the policy and the value: one for both (`vf_share_layers`), or one each.

    `model_config` keys read here, beside those of `Architecture`: `num_agents` (> 0: agent ids join the features),
    `state_size` (> 0: a centralized critic with an encoder of its own sees a global state of that size) and
    `critic_sees_observation` (whether it sees the agent's observation beside it). A model with a memory has the keys
    `cell` and `memory`; a critic that sees the global state needs none. `epsilon_greedy`: what the policy head says are
    values of actions, and the policy takes the best, or with probability `epsilon` any; the critic is not used.

    PPO's usual orthogonal initialization: gain sqrt 2, 0.01 for the policy head, 1 for the value head (Andrychowicz et
    al. 2021, "What matters in on-policy reinforcement learning?").
    """

    @abstractmethod
    def make_encoder(self) -> tuple[nn.Module, int]:
        """A new encoder of observation rows [R, *shape] in any dtype, and the number of its output features."""

    def setup(self) -> None:
        """Build the heads from the spaces and the model configuration."""
        config = self.model_config
        self.activation = ACTIVATIONS[config["activation"]]
        self.central = config["state_size"] > 0
        self.epsilon_greedy = config.get("epsilon_greedy", False)
        if self.epsilon_greedy:
            self.register_buffer("epsilon", torch.zeros(()))
        self.shared = (config["vf_share_layers"] or self.epsilon_greedy) and not self.central
        space = self.action_space
        if isinstance(space, spaces.Discrete):
            size, self.action_dist_cls = int(space.n), TorchCategorical
        elif isinstance(space, spaces.MultiDiscrete):
            size = int(space.nvec.sum())
            self.action_dist_cls = TorchMultiCategorical.get_partial_dist_cls(input_lens=[int(n) for n in space.nvec])
        elif isinstance(space, spaces.Box):
            size, self.action_dist_cls = int(np.prod(space.shape)), TorchDiagGaussian
            self.log_std = nn.Parameter(torch.zeros(size))
        else:
            raise ValueError(f"actions must be Discrete, MultiDiscrete or Box, not {space}")
        encoder, features = self._encoder(*self.make_encoder(), self.observation_space.shape)
        memory = None
        if "cell" in config:
            memory = Memory(config["cell"], features, config["memory"], config["orthogonal_init"])
            features = config["memory"]
        self.memory_size = memory.size if memory else 0
        common = {"num_agents": config["num_agents"], "precision": config["precision"]}
        self.policy_head = Head(encoder, memory, features, size=size, **common)
        encoder = None
        if self.central:
            seen = config["state_size"] + config["critic_sees_observation"] * int(np.prod(self.observation_space.shape))
            encoder, features = self._encoder(*self.make_state_encoder(seen), (seen,))
        elif not self.shared:
            encoder, _ = self._encoder(*self.make_encoder(), self.observation_space.shape)
        self.value_head = ValueHead(encoder, features, **common)
        if config["orthogonal_init"]:
            orthogonal(self.policy_head.linear, 0.01)
            orthogonal(self.value_head.linear, 1.0)

    def make_state_encoder(self, size: int) -> tuple[nn.Module, int]:
        """A new encoder of what a centralized critic sees [R, size], and the number of its output features."""
        return dense(size, self.model_config["hidden"], self.activation)

    def _encoder(self, encoder: nn.Module, features: int, shape: tuple[int, ...]) -> tuple[nn.Module, int]:
        if self.model_config["orthogonal_init"]:
            initialize(encoder)
        if self.model_config["normalize_observations"]:
            encoder = nn.Sequential(Normalize(shape), encoder)
        return encoder, features

    # Playing.

    def dist_inputs(self, policy: Tensor, mask: Tensor | None) -> Tensor:
        """The action distribution's inputs [R, n] from the policy head's output [R, size] and the legal actions."""
        if isinstance(self.action_space, spaces.Box):
            return torch.cat([policy, self.log_std.expand_as(policy)], dim=1)
        if self.epsilon_greedy:
            return log_epsilon_greedy(policy, mask, self.epsilon)
        return policy if mask is None else torch.where(mask.bool(), policy, ILLEGAL)

    def act(
        self,
        observations: Tensor,
        mask: Tensor | None = None,
        agents: Tensor | None = None,
        memory: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Distribution inputs [R, n] for observation rows, and the memories after them; all that playing needs."""
        policy, memory = self.policy_head(observations, agents, memory)
        return self.dist_inputs(policy, mask), memory

    def act_and_value(
        self,
        observations: Tensor,
        mask: Tensor | None = None,
        agents: Tensor | None = None,
        memory: Tensor | None = None,
        state: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """As `act`, with the critic's values [R] in units of the rewards in between."""
        features, memory = self.policy_head.features(observations, memory)
        policy = self.policy_head.from_features(features, agents)
        if not self.shared:
            features, _ = self.value_head.features(self._critic_input(observations, state))
        return self.dist_inputs(policy, mask), self.value_head.value(features, agents), memory

    def values(
        self,
        observations: Tensor,
        agents: Tensor | None = None,
        memory: Tensor | None = None,
        state: Tensor | None = None,
    ) -> Tensor:
        """The critic's values [R], in units of the rewards."""
        if self.shared:
            features, _ = self.policy_head.features(observations, memory)
        else:
            features, _ = self.value_head.features(self._critic_input(observations, state))
        return self.value_head.value(features, agents)

    def _critic_input(self, observations: Tensor, state: Tensor | None) -> Tensor:
        if not self.central:
            return observations
        return (
            torch.cat([state, observations.flatten(1).float()], 1)
            if self.model_config["critic_sees_observation"]
            else state
        )

    # Training.

    def _forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        features, _ = self.policy_head.features(batch[Columns.OBS], batch.get(MEMORY), batch.get(LENGTHS))
        policy = self.policy_head.from_features(features, batch.get(AGENT_ID))
        # One pass through a shared encoder serves the loss's policy and value terms.
        shared = {Columns.EMBEDDINGS: features} if self.shared else {}
        return {Columns.ACTION_DIST_INPUTS: self.dist_inputs(policy, batch.get(ACTION_MASK)), **shared}

    def compute_values(self, batch: Mapping[str, Any], embeddings: Tensor | None = None) -> Tensor:
        """The critic's values [R] of a batch, in its own units (RLlib's ValueFunctionAPI).

        `embeddings`: the shared encoder's.
        """
        if embeddings is None and self.shared:
            embeddings, _ = self.policy_head.features(batch[Columns.OBS], batch.get(MEMORY), batch.get(LENGTHS))
        if embeddings is None:
            embeddings, _ = self.value_head.features(self._critic_input(batch[Columns.OBS], batch.get(STATE)))
        return self.value_head.from_features(embeddings, batch.get(AGENT_ID)).squeeze(1)

    def action_values(
        self, observations: Tensor, agents: Tensor | None, memory: Tensor | None, lengths: Tensor | None
    ) -> Tensor:
        """Values of all actions [R, n], where the policy is epsilon-greedy."""
        features, _ = self.policy_head.features(observations, memory, lengths)
        return self.policy_head.from_features(features, agents)

    def learn_statistics(self, batch: Mapping[str, Any]) -> None:
        """Update the running statistics of normalized inputs, where there are any, with a batch."""
        if not self.model_config["normalize_observations"]:
            return
        with torch.no_grad():
            self.policy_head.encoder[0].update(batch[Columns.OBS])
            if not self.shared:
                self.value_head.encoder[0].update(self._critic_input(batch[Columns.OBS], batch.get(STATE)))


class Flatten(nn.Module):
    """Rows of any shape and dtype -> float32 [R, features]."""

    def forward(self, observations: Tensor) -> Tensor:
        return observations.flatten(1).float()


def dense(size: int, hidden: Sequence[int], activation: type[nn.Module]) -> tuple[nn.Module, int]:
    """One dense layer and activation per width, over flattened rows of `size` numbers; and the last width."""
    widths = [size, *hidden]
    layers: list[nn.Module] = [Flatten()]
    for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers), widths[-1]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A choice of `conf/model`: settings that a subclass adds to, and the `module_class` that is built from them.

    `hidden`: widths of the dense layers. `activation`: relu | tanh | silu. `vf_share_layers`: one encoder for policy
    and value, or one each (a centralized critic always has its own). `precision` of the encoders: auto | bfloat16 |
    float32. `normalize_observations`: by running mean and standard deviation. `orthogonal_init`: orthogonal weights, a
    small policy head. Raises ValueError, naming the key, for what cannot be.
    """

    hidden: Sequence[int] = (512, 512)
    activation: str = "relu"
    vf_share_layers: bool = True
    precision: str = "auto"
    normalize_observations: bool = False
    orthogonal_init: bool = True
    module_class: ClassVar[type[ActorCritic]]

    def __post_init__(self) -> None:
        for key, choices in (("activation", ACTIVATIONS), ("precision", PRECISIONS)):
            if getattr(self, key) not in choices:
                raise ValueError(f"model.{key}={getattr(self, key)}: choose one of {', '.join(choices)}")
        check_widths("model.hidden", self.hidden)

    @property
    def model_config(self) -> dict[str, Any]:
        """The settings as JSON types: what the RLModule is built from."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def check_widths(key: str, widths: Sequence[int]) -> None:
    """ValueError unless there is at least one layer and every width is positive."""
    if not isinstance(widths, list | tuple) or not widths or min(widths) < 1:
        raise ValueError(f"{key}={widths}: give a list of at least one layer, every width at least 1, e.g. [64, 64]")
