"""The base class of all networks: policy and value heads over encoders, legal-action masks, three action spaces.

An architecture is a subclass of `ActorCritic` with one method, `make_encoder`, and its settings, an `Architecture`.
Observations are rows of one array in the environment's dtype (int8 boards stay int8 until they reach the network);
masks, agent ids, global states and memories are separate batch columns. Batches have no time axis: the rows of a
recurrent network are concatenated sequences, with their lengths in a column.

Nothing here imports Ray, which takes most of the time of loading an agent: `players/trained_module.py` makes of a
network the RLModule that RLlib trains.

Shapes: R rows (agent steps), S sequences, n inputs of the action distribution.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from marl_app.players.modules.epsilon_greedy import ILLEGAL, log_epsilon_greedy
from marl_app.players.modules.heads import Head, Memory, Normalize, ValueHead, initialize, orthogonal
from marl_app.players.modules.precision import PRECISIONS
from marl_app.players.modules.scale import Scale, scaling_of
from marl_app.players.modules.views import AllViews, MeanOverViews

ACTION_MASK = "action_mask"
"""Legal actions: bool [R, n]."""
AGENT_ID = "agent_id"
"""Index of the agent in the environment: int64 [R]."""
STATE = "state"
"""Input of a centralized critic: float32 [R, state size]."""
MEMORY = "memory"
"""Memory before each row (playing) or before each sequence (training): float32 [R or S, memory size]."""
LENGTHS = "sequence_lengths"
"""Number of rows of each sequence: int64 [S]."""

# RLlib's names of columns (its class `Columns`).
OBSERVATIONS = "obs"
FEATURES = "embeddings"
DIST_INPUTS = "action_dist_inputs"


class Tanh(nn.Module):
    """The hyperbolic tangent; in float32 on CPUs as 2 sigmoid(2 x) - 1, because torch's tanh is slow there."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return tanh of each input."""
        if inputs.dtype != torch.float32 or inputs.device.type != "cpu":
            return torch.tanh(inputs)
        # The custom backward pass is only needed where gradients are.
        return _TanhBySigmoid.apply(inputs) if inputs.requires_grad else _tanh_by_sigmoid(inputs)


def _tanh_by_sigmoid(inputs: Tensor) -> Tensor:
    return (inputs * 2).sigmoid_().mul_(2).sub_(1)


class _TanhBySigmoid(torch.autograd.Function):
    """`_tanh_by_sigmoid` with the gradient of tanh: one pass over memory instead of the three of its operations."""

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


class ActorCritic(nn.Module, ABC):
    """A network with encoders for the policy and the value: one for both (`vf_share_layers`), or one each.

    `model_config` has the keys of `Architecture` and `Network.model_config`:
    num_agents: if > 0, one-hot agent ids of this size are appended to the features.
    state_size: if > 0, the critic is centralized: it has a separate encoder, which sees a global state of this size,
        and also the agent's observation if `critic_sees_observation`.
    epsilon_greedy: the policy head outputs values of actions; the policy takes the best action, or with probability
        `epsilon` a random one. The critic is not used.
    average_symmetries: the network sees all symmetric views of an observation, and its outputs are means over them
        (`views.py`); a centralized critic sees the original. `symmetries` has the fields of `Symmetries`.
    cell, memory: kind and width of a recurrent layer, which a centralized critic does not have.

    Initialization is PPO's usual one: orthogonal with gain sqrt 2, 0.01 for the policy head, 1 for the value head
    (Andrychowicz et al. 2021, "What matters in on-policy reinforcement learning?").
    """

    can_stack: ClassVar[bool] = True
    """Whether `torch.func.vmap` has a fast rule for all operations, so that small networks of opponents are stacked."""

    def __init__(
        self, *, observation_space: Any, action_space: spaces.Space[Any], model_config: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.observation_space = observation_space
        self.action_space = action_space
        self.model_config: Any = model_config
        self.setup()

    @abstractmethod
    def make_encoder(self) -> tuple[nn.Module, int]:
        """Return a new encoder of observation rows [R, *shape] in any dtype, and the number of its output features."""

    def setup(self) -> None:
        """Build the heads from the spaces and the model configuration."""
        config = self.model_config
        self.activation = ACTIVATIONS[config["activation"]]
        self.central = config["state_size"] > 0
        self.epsilon_greedy = config.get("epsilon_greedy", False)
        if self.epsilon_greedy:
            self.register_buffer("epsilon", torch.zeros(()))
        # Players of before 0.3.0 lack the keys: they average over no views, and see their observations as they are.
        self.symmetries = config["symmetries"] if config.get("average_symmetries", False) else None
        scaling = scaling_of(self.observation_space) if config.get("scale_observations", False) else None
        self.scale = None if scaling is None else Scale(scaling)
        self.shared = (config["vf_share_layers"] or self.epsilon_greedy) and not self.central
        # 1. The size of the policy head's output.
        space = self.action_space
        if isinstance(space, spaces.Discrete):
            size = int(space.n)
        elif isinstance(space, spaces.MultiDiscrete):
            size = int(space.nvec.sum())
        elif isinstance(space, spaces.Box):
            size = int(np.prod(space.shape))
            self.log_std = nn.Parameter(torch.zeros(size))
        else:
            raise ValueError(f"actions must be Discrete, MultiDiscrete or Box, not {space}")
        # 2. The policy: encoder, memory (if the model has one), head.
        encoder, features = self._observation_encoder()
        memory = None
        if "cell" in config:
            if self.symmetries is not None:
                raise ValueError("algorithm.symmetries=average: this network has a memory of what it saw; give random")
            memory = Memory(config["cell"], features, config["memory"], config["orthogonal_init"])
            features = config["memory"]
        self.memory_size = memory.size if memory else 0
        policy_views = value_views = None
        if self.symmetries is not None:
            count = len(self.symmetries["actions"])
            policy_views = MeanOverViews(count, self.symmetries["actions"])
            value_views = None if self.central else MeanOverViews(count)
        common = {"num_agents": config["num_agents"], "precision": config["precision"]}
        self.policy_head = Head(encoder, memory, features, size=size, **common, views=policy_views)
        # 3. The critic: on the policy's encoder and memory (None), or with an encoder of the global state or of the
        # observation.
        value_encoder: nn.Module | None = None
        if self.central:
            observation_size = int(np.prod(self.observation_space.shape))
            input_size = config["state_size"] + config["critic_sees_observation"] * observation_size
            value_encoder, features = self._prepare_encoder(*self.make_state_encoder(input_size), (input_size,))
        elif not self.shared:
            value_encoder, _ = self._observation_encoder()
        self.value_head = ValueHead(value_encoder, features, **common, views=value_views)
        if config["orthogonal_init"]:
            orthogonal(self.policy_head.linear, 0.01)
            orthogonal(self.value_head.linear, 1.0)

    def make_state_encoder(self, size: int) -> tuple[nn.Module, int]:
        """Return a new encoder of a centralized critic's input [R, size], and the number of its output features."""
        return dense(size, self.model_config["hidden"], self.activation)

    def _observation_encoder(self) -> tuple[nn.Module, int]:
        """Return a new encoder of observation rows, of all their views if outputs are averaged, and its features."""
        encoder, features = self.make_encoder()
        if self.symmetries is not None:
            encoder = AllViews(encoder, self.symmetries["observations"])
        return self._prepare_encoder(encoder, features, self.observation_space.shape, self.scale)

    def _prepare_encoder(
        self, encoder: nn.Module, features: int, shape: tuple[int, ...], scale: Scale | None = None
    ) -> tuple[nn.Module, int]:
        """Initialize an encoder; put scaling and normalization of its inputs [R, *shape] in front if configured."""
        if self.model_config["orthogonal_init"]:
            initialize(encoder)
        before: list[nn.Module] = [] if scale is None else [scale]
        if self.model_config["normalize_observations"]:
            before.append(Normalize(shape))
        return nn.Sequential(*before, encoder) if before else encoder, features

    # Playing.

    def forward(
        self,
        observations: Tensor,
        mask: Tensor | None = None,
        agents: Tensor | None = None,
        memory: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return what `act` returns. In training RLlib's `forward` takes its place, which calls `_forward`."""
        return self.act(observations, mask, agents, memory)

    def dist_inputs(self, policy: Tensor, mask: Tensor | None) -> Tensor:
        """Return the action distribution's inputs [R, n], given the policy head's output [R, size] and legal actions.

        For Box actions n is twice the size: means, then log standard deviations. Otherwise they are logits.
        """
        if isinstance(self.action_space, spaces.Box):
            return torch.cat([policy, self.log_std.expand_as(policy)], dim=1)
        if self.epsilon_greedy:
            return log_epsilon_greedy(policy, mask, self.epsilon)
        # Logits; those of illegal actions are so low that their probability is 0.
        return policy if mask is None else torch.where(mask.bool(), policy, ILLEGAL)

    def act(
        self,
        observations: Tensor,
        mask: Tensor | None = None,
        agents: Tensor | None = None,
        memory: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return distribution inputs [R, n] for observation rows [R, *shape], and the new memories [R, ...] or None."""
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
        """Return distribution inputs [R, n], the critic's values [R] in units of the rewards, and the new memories."""
        # A shared encoder runs once for policy and value.
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
        """Return the critic's values [R], in units of the rewards."""
        if self.shared:
            features, _ = self.policy_head.features(observations, memory)
        else:
            features, _ = self.value_head.features(self._critic_input(observations, state))
        return self.value_head.value(features, agents)

    def _critic_input(self, observations: Tensor, state: Tensor | None) -> Tensor:
        """Return the input of the critic's encoder [R, ...]: observations, global states, or both concatenated.

        States are scaled already (`CentralState`).
        """
        if not self.central:
            return observations
        if not self.model_config["critic_sees_observation"]:
            return state
        seen = observations if self.scale is None else self.scale(observations)
        return torch.cat([state, seen.flatten(1).float()], 1)

    # Training.

    def _forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        features, _ = self.policy_head.features(batch[OBSERVATIONS], batch.get(MEMORY), batch.get(LENGTHS))
        policy = self.policy_head.from_features(features, batch.get(AGENT_ID))
        # A shared encoder runs once for the policy and value terms of the loss: `compute_values` receives its features.
        shared = {FEATURES: features} if self.shared else {}
        return {DIST_INPUTS: self.dist_inputs(policy, batch.get(ACTION_MASK)), **shared}

    def compute_values(self, batch: Mapping[str, Any], embeddings: Tensor | None = None) -> Tensor:
        """Return the critic's values [R] of a batch, in units of the value head (RLlib's ValueFunctionAPI).

        `embeddings`: features [R, features] of the shared encoder, if it has already run.
        """
        if embeddings is None and self.shared:
            embeddings, _ = self.policy_head.features(batch[OBSERVATIONS], batch.get(MEMORY), batch.get(LENGTHS))
        if embeddings is None:
            embeddings, _ = self.value_head.features(self._critic_input(batch[OBSERVATIONS], batch.get(STATE)))
        return self.value_head.from_features(embeddings, batch.get(AGENT_ID)).squeeze(1)

    def action_values(
        self, observations: Tensor, agents: Tensor | None, memory: Tensor | None, lengths: Tensor | None
    ) -> Tensor:
        """Return the values of all actions [R, n] of an epsilon-greedy network."""
        features, _ = self.policy_head.features(observations, memory, lengths)
        return self.policy_head.from_features(features, agents)

    def learn_statistics(self, batch: Mapping[str, Any]) -> None:
        """Update the running statistics of normalized inputs with a batch; do nothing without normalization."""
        if not self.model_config["normalize_observations"]:
            return
        with torch.no_grad():
            # Each encoder has statistics of its own inputs; a shared one is the policy's.
            _update_normalization(self.policy_head.encoder, batch[OBSERVATIONS])
            if not self.shared:
                inputs = self._critic_input(batch[OBSERVATIONS], batch.get(STATE))
                _update_normalization(self.value_head.encoder, inputs)


def _update_normalization(encoder: nn.Sequential, inputs: Tensor) -> None:
    """Update the `Normalize` that `_prepare_encoder` put in front of an encoder, after a `Scale` if there is one."""
    for layer in encoder:
        if isinstance(layer, Normalize):
            return layer.update(inputs)
        inputs = layer(inputs)


class Flatten(nn.Module):
    """A layer that flattens rows of any shape and dtype to float32 [R, features]."""

    def forward(self, observations: Tensor) -> Tensor:
        return observations.flatten(1).float()


def dense(size: int, hidden: Sequence[int], activation: type[nn.Module]) -> tuple[nn.Module, int]:
    """Return a multi-layer perceptron over flattened rows of `size` numbers, and the last width."""
    widths = [size, *hidden]
    layers: list[nn.Module] = [Flatten()]
    for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers), widths[-1]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """An option of `conf/model`: settings, which subclasses extend, and the `module_class` that is built from them.

    hidden: widths of the dense layers.
    activation: relu | tanh | silu.
    vf_share_layers: one encoder for policy and value, or one each; a centralized critic always has a separate one.
    precision: of the encoders: auto | bfloat16 | float32.
    scale_observations: map numbers with large bounds to [0, 1] or [-1, 1] (`scale.py`).
    normalize_observations: by running mean and standard deviation.
    orthogonal_init: orthogonal weights, with small ones in the policy head.

    Raises ValueError, naming the key, for invalid values.
    """

    hidden: Sequence[int] = (512, 512)
    activation: str = "relu"
    vf_share_layers: bool = True
    precision: str = "auto"
    scale_observations: bool = True
    normalize_observations: bool = False
    orthogonal_init: bool = True
    module_class: ClassVar[type[ActorCritic]]

    def __post_init__(self) -> None:
        for key, choices in (("activation", ACTIVATIONS), ("precision", PRECISIONS)):
            if getattr(self, key) not in choices:
                raise ValueError(f"model.{key}={getattr(self, key)}: choose one of {', '.join(choices)}")
        check_widths("model.hidden", self.hidden)

    @property
    def classes(self) -> tuple[type, ...]:
        """The classes that a process needs to make players of this architecture."""
        return (self.module_class,)

    @property
    def model_config(self) -> dict[str, Any]:
        """The settings as JSON types, from which the network is built."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def check_widths(key: str, widths: Sequence[int]) -> None:
    """Raise ValueError unless `widths` is a list of at least one positive whole number."""
    if (
        not isinstance(widths, list | tuple)
        or not widths
        or any(type(width) is not int or width < 1 for width in widths)
    ):
        raise ValueError(f"{key}={widths}: give a list of at least one layer, every width at least 1, e.g. [64, 64]")
