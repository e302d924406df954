"""What every network here shares: policy and value heads over encoders, legal-action masks, three action spaces.

An architecture is a subclass of `ActorCritic` with one method, `make_encoder`, and its settings, an `Architecture`.
Observations are rows of one array in the environment's own dtype (int8 boards stay int8 until they reach the network);
masks and agent ids are batch columns of their own. Batch rows carry no time axis.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
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

ACTION_MASK = "action_mask"
AGENT_ID = "agent_id"
ILLEGAL = -1e9
"""Logit of an illegal action: finite, so that entropy and KL stay finite (-inf gives NaN)."""

# RLModule's own constructor triggers RLlib's deprecation warning, for every module in every process.
logging.getLogger("ray._common.deprecation").setLevel(logging.ERROR)

# torch checks the arguments of every distribution that is made, in every forward pass: a tenth of acting's time.
torch.distributions.Distribution.set_default_validate_args(False)

PRECISIONS = ("auto", "bfloat16", "float32")
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU}


class Head(nn.Module):
    """An encoder and a linear layer on top: observation rows [R, *shape] (and agent ids [R]) -> [R, size].

    A head without an encoder of its own (None) sits on another's features.
    """

    def __init__(
        self, encoder: nn.Module | None, features: int, num_agents: int, size: int, gain: float, precision: str
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.num_agents = num_agents
        self.precision = precision
        self.linear = orthogonal(nn.Linear(features + num_agents, size), gain)

    def forward(self, observations: Tensor, agents: Tensor | None = None) -> Tensor:
        return self.of_features(self.features(observations), agents)

    def features(self, observations: Tensor) -> Tensor:
        """The encoder's output, float32 [R, features], computed in the configured precision."""
        device = observations.device.type
        with torch.autocast(device, torch.bfloat16, enabled=in_bfloat16(self.precision, device)):
            return self.encoder(observations).float()

    def of_features(self, features: Tensor, agents: Tensor | None = None) -> Tensor:
        """The head's output [R, size] from features [R, features] that an encoder already made."""
        if self.num_agents and agents is not None:
            one_hot = nn.functional.one_hot(agents.long(), self.num_agents)
            features = torch.cat([features, one_hot.to(features.dtype)], dim=1)
        return self.linear(features)


class ActorCritic(TorchRLModule, ValueFunctionAPI):
    """RLModule with separate or shared (`vf_share_layers`) encoders for the policy and the value.

    `model_config` keys read here: `activation`, `vf_share_layers`, `precision` (of the encoders; see `in_bfloat16`),
    `num_agents` (> 0: agent ids, as a one-hot feature of that size, join the encoder's output).

    PPO's usual orthogonal initialization: gain sqrt 2, 0.01 for the policy head, 1 for the value head (Andrychowicz et
    al. 2021, "What matters in on-policy reinforcement learning?").
    """

    @abstractmethod
    def make_encoder(self) -> tuple[nn.Module, int]:
        """A new encoder of observation rows [R, *shape] in any dtype, and the number of its output features."""

    def setup(self) -> None:
        """Build the heads from the spaces and the model configuration."""
        self.activation = ACTIVATIONS[self.model_config["activation"]]
        common = {"num_agents": self.model_config["num_agents"], "precision": self.model_config["precision"]}
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
        encoder, features = self.make_encoder()
        self.policy_head = Head(encoder, features, size=size, gain=0.01, **common)
        self.shared = self.model_config["vf_share_layers"]
        encoder = None if self.shared else self.make_encoder()[0]
        self.value_head = Head(encoder, features, size=1, gain=1.0, **common)

    def dist_inputs(self, policy: Tensor, mask: Tensor | None) -> Tensor:
        """The action distribution's inputs [R, n] from the policy head's output [R, size] and the legal actions."""
        if isinstance(self.action_space, spaces.Box):
            return torch.cat([policy, self.log_std.expand_as(policy)], dim=1)
        return policy if mask is None else torch.where(mask.bool(), policy, ILLEGAL)

    def act(self, observations: Tensor, mask: Tensor | None = None, agents: Tensor | None = None) -> Tensor:
        """Distribution inputs [R, n] for observation rows; the whole of what playing needs."""
        return self.dist_inputs(self.policy_head(observations, agents), mask)

    def values(self, observations: Tensor, agents: Tensor | None = None) -> Tensor:
        """The critic's values [R]."""
        features = (self.policy_head if self.shared else self.value_head).features(observations)
        return self.value_head.of_features(features, agents).squeeze(1)

    def _forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        return {Columns.ACTION_DIST_INPUTS: self.act(batch[Columns.OBS], batch.get(ACTION_MASK), batch.get(AGENT_ID))}

    def _forward_train(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        if not self.shared:
            return self._forward(batch)
        # One pass through the shared encoder serves the loss's policy and value terms.
        agents = batch.get(AGENT_ID)
        features = self.policy_head.features(batch[Columns.OBS])
        policy = self.policy_head.of_features(features, agents)
        return {
            Columns.ACTION_DIST_INPUTS: self.dist_inputs(policy, batch.get(ACTION_MASK)),
            Columns.EMBEDDINGS: features,
        }

    def compute_values(self, batch: Mapping[str, Any], embeddings: Tensor | None = None) -> Tensor:
        """The critic's values [R] of a batch (RLlib's ValueFunctionAPI); `embeddings`: the shared encoder's."""
        agents = batch.get(AGENT_ID)
        if embeddings is None:
            return self.values(batch[Columns.OBS], agents)
        return self.value_head.of_features(embeddings, agents).squeeze(1)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A choice of `conf/model`: settings that a subclass adds to, and the `module_class` that is built from them.

    `activation`: relu | tanh | silu. `vf_share_layers`: one encoder for policy and value, or one each. `precision` of
    the encoders: auto | bfloat16 | float32, see `in_bfloat16`. Raises ValueError, naming the key, for what cannot be.
    """

    activation: str = "relu"
    vf_share_layers: bool = True
    precision: str = "auto"
    module_class: ClassVar[type[ActorCritic]]

    def __post_init__(self) -> None:
        for key, choices in (("activation", ACTIVATIONS), ("precision", PRECISIONS)):
            if getattr(self, key) not in choices:
                raise ValueError(f"model.{key}={getattr(self, key)}: choose one of {', '.join(choices)}")

    @property
    def model_config(self) -> dict[str, Any]:
        """The settings as JSON types: what the RLModule is built from."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def check_widths(key: str, widths: Sequence[int]) -> None:
    """ValueError unless there is at least one layer and every width is positive."""
    if not isinstance(widths, list | tuple) or not widths or min(widths) < 1:
        raise ValueError(f"{key}={widths}: give a list of at least one layer, every width at least 1, e.g. [64, 64]")


def in_bfloat16(precision: str, device: str) -> bool:
    """Whether encoders run in bfloat16: `float32` never, `bfloat16` always, `auto` where the hardware multiplies it.

    Weights, heads, losses and optimizer stay float32 (torch's autocast). With 2x512 layers, training took 0.43 of the
    time on a CPU with avx512_bf16.
    """
    return precision == "bfloat16" or (precision == "auto" and _multiplies_bfloat16(device))


@cache
def _multiplies_bfloat16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def orthogonal(layer: nn.Module, gain: float = 2**0.5) -> nn.Module:
    """The layer with orthogonal weights and zero biases."""
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
