"""A user's RLModule as a network of a player: its policy and its value function, with its own `model_config`.

It follows RLlib's new API: `forward_exploration` and `forward_train` return `action_dist_inputs`, and `compute_values`
the values. Saved players of such a network need RLlib, and the user's module must be importable.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

from gymnasium import spaces
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor, nn

from marl_app.players.imports import imported_class
from marl_app.players.modules.actor_critic import ActorCritic, Architecture


class RLModuleHead(nn.Module):
    """The policy of an RLModule, in the place of a policy head: observations [R, *shape] -> logits [R, n]."""

    num_agents = 0  # no agent ids join its features

    def __init__(self, inner: TorchRLModule, actions: int) -> None:
        super().__init__()
        self.inner: Any = inner
        # All that is read of a policy head's last layer.
        self.linear = SimpleNamespace(out_features=actions)

    def forward(self, observations: Tensor, agents: Any = None, memory: Any = None) -> tuple[Tensor, None]:
        """Return logits [R, n], and no memory."""
        output = self.inner.forward_exploration({Columns.OBS: observations})
        return output[Columns.ACTION_DIST_INPUTS], None

    def features(self, observations: Tensor, memory: Any = None, lengths: Any = None) -> tuple[Tensor, None]:
        """Return what `from_features` makes logits of: the logits."""
        logits, _ = self.forward(observations)
        return logits, None

    def from_features(self, features: Tensor, agents: Any = None) -> Tensor:
        """Return logits [R, n]."""
        return features


class RewardUnits:
    """The units of an RLModule's values, in the place of a value head: those of the rewards."""

    def normalized(self, targets: Tensor) -> Tensor:
        """Return value targets as they are."""
        return targets

    def update(self, targets: Tensor) -> None:
        """Refuse other units."""
        raise ValueError("algorithm.normalize_values: an own RLModule has its own value function: give false")


class WrappedRLModule(ActorCritic):
    """A network that is an RLModule of the user. `model_config`: `rl_module`, its import path, and its `settings`."""

    can_stack: ClassVar[bool] = False

    def setup(self) -> None:
        """Build the RLModule. Raises ValueError for one that cannot be a player here."""
        if not isinstance(self.action_space, spaces.Discrete):
            raise ValueError("own RLModules play Discrete actions: subclass marl_app's ActorCritic for others")
        made = imported_class(self.model_config["rl_module"])
        if not (issubclass(made, TorchRLModule) and issubclass(made, ValueFunctionAPI)):
            raise ValueError(f"{made.__name__} must be a TorchRLModule with ValueFunctionAPI (compute_values)")
        inner = made(
            observation_space=self.observation_space,
            action_space=self.action_space,
            model_config=self.model_config["settings"],
            inference_only=False,
        )
        if inner.get_initial_state():
            raise ValueError(f"{made.__name__} has a state: use model=gru or lstm for agents with a memory")
        # What ActorCritic's methods ask of its parts, which an RLModule does not have.
        self.central = self.shared = self.epsilon_greedy = False
        self.scale, self.memory_size = None, 0
        self.policy_head = RLModuleHead(inner, int(self.action_space.n))
        self.value_head: Any = RewardUnits()

    def make_encoder(self) -> tuple[nn.Module, int]:
        """Refuse: the RLModule has its own."""
        raise NotImplementedError("the RLModule has an encoder of its own")

    def act_and_value(
        self, observations: Tensor, mask: Any = None, agents: Any = None, memory: Any = None, state: Any = None
    ) -> tuple[Tensor, Tensor, None]:
        """Return logits [R, n], values [R], and no memory."""
        logits, _ = self.act(observations, mask)
        return logits, self.values(observations), None

    def values(self, observations: Tensor, agents: Any = None, memory: Any = None, state: Any = None) -> Tensor:
        """Return the values [R], in units of the rewards."""
        values: Tensor = self.policy_head.inner.compute_values({Columns.OBS: observations})
        return values

    def _forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        # The RLModule may not read masks, so the logits of illegal actions are replaced here.
        result = dict(self.policy_head.inner.forward_train(dict(batch)))
        logits = result[Columns.ACTION_DIST_INPUTS]
        return {**result, Columns.ACTION_DIST_INPUTS: self.dist_inputs(logits, batch.get("action_mask"))}

    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Tensor:
        """Return the values [R] of a batch (RLlib's ValueFunctionAPI)."""
        values: Tensor = self.policy_head.inner.compute_values(dict(batch), embeddings)
        return values

    def learn_statistics(self, batch: Mapping[str, Any]) -> None:
        """Do nothing: the RLModule has no running statistics of ours."""


@dataclass(frozen=True, kw_only=True)
class FromRLModule(Architecture):
    """The network of a user: `rl_module`, the import path of an RLModule, and its `settings` (RLlib's model_config).

    Raises ValueError if it cannot be imported.
    """

    rl_module: str
    settings: dict[str, Any] = field(default_factory=dict)
    module_class: ClassVar[type[ActorCritic]] = WrappedRLModule

    def __post_init__(self) -> None:
        super().__post_init__()
        module, _, name = self.rl_module.rpartition(".")
        try:
            getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"model.rl_module={self.rl_module} cannot be imported: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        """Import the RLModule in the process that unpickles the architecture, too."""
        return _unpickled, (self.model_config,)

    @property
    def model_config(self) -> dict[str, Any]:
        """The settings as JSON types; those of `Architecture` have no meaning here but its precision: float32."""
        return {"rl_module": self.rl_module, "settings": dict(self.settings)} | {
            "precision": "float32",
            "normalize_observations": False,
        }

    @property
    def classes(self) -> tuple[type, ...]:
        """The classes that a process needs to make players."""
        return (self.module_class, imported_class(self.rl_module))


def _unpickled(config: Mapping[str, Any]) -> FromRLModule:
    return FromRLModule(rl_module=config["rl_module"], settings=config["settings"])
