"""Afterstate networks: the value of the position after each action, by n-tuple tables, and a policy made of the values.

In a board game the position after one's action is known. One function of positions therefore gives the value of every
action, and positions that are reached in several ways are learned once (Sutton and Barto, 2018, section 6.8). The
function is a sum of table entries, one per group of cells (`ntuple.py`), through tanh: Thill, Koch and Konen (2012,
"Reinforcement learning with n-tuples on the game Connect-4"). Symmetric groups share a table.

The policy is a softmax of the values, divided by a temperature. The value of an observation is the mean of the values
of its actions under that policy.

Where we differ: both players use the same tables, and see the board from their side; groups are windows of given shapes
instead of random walks; complete lines and full boards have their exact value.

Shapes: R rows, n actions, T table entries per position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from marl_app.envs.placement import Placement, misfit
from marl_app.players.modules.actor_critic import ActorCritic, Architecture
from marl_app.players.modules.afterstate_values import AfterstateValues, without_views
from marl_app.players.modules.epsilon_greedy import ILLEGAL
from marl_app.players.modules.heads import Head
from marl_app.players.modules.ntuple import check_window_settings, checked_windows

TEMPERATURE = "policy_head.linear.temperature"
"""Name of the temperature among the weights of the network."""


def default_windows(height: int, width: int) -> list[list[int]]:
    """Return the windows [height, width] of a board: the board if it has at most 9 cells, else 8 cells, and lines of 7.

    In Connect Four, windows of 3 x 3 in addition make a network 2.7 times as slow (docs/tuning.md).
    """
    if height * width <= 9:
        return [[height, width]]
    return [[2, 4], [4, 2], [1, min(width, 7)], [min(height, 7), 1]]


class Temperature(nn.Module):
    """A layer that divides the values of actions by a temperature: logits. Training sets it, and players keep it."""

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.out_features = actions
        self.register_buffer("temperature", torch.tensor(0.1))

    def forward(self, values: Tensor) -> Tensor:
        return (values / self.temperature).clamp(min=ILLEGAL)


class MeanValue(nn.Module):
    """In the place of a value head: the mean of the values of actions [R, n] under their softmax."""

    def __init__(self, logits: Temperature) -> None:
        super().__init__()
        self._logits = (logits,)  # in a tuple: it is a part of the policy head, not of this module

    def from_features(self, features: Tensor, agents: Tensor | None = None) -> Tensor:
        """Return values [R, 1] of values of actions [R, n]."""
        (logits,) = self._logits
        # The bounds hold for all values but ILLEGAL, which counts if no action is legal.
        return (torch.softmax(logits(features), dim=1) * features).sum(dim=1, keepdim=True).clamp(-1, 1)

    def value(self, features: Tensor, agents: Tensor | None = None) -> Tensor:
        """Return values [R]."""
        return self.from_features(features).squeeze(1)

    def normalized(self, targets: Tensor) -> Tensor:
        """Return value targets as they are: values are in units of the rewards."""
        return targets

    def update(self, targets: Tensor) -> None:
        """Refuse other units."""
        raise ValueError("algorithm.normalize_values=true: model=afterstates has values in [-1, 1]; give false")


class AfterstateModule(ActorCritic):
    """A network of afterstate values: their softmax is the policy, and their mean under it the critic's value."""

    def setup(self) -> None:
        """Build the tables. Raises ValueError for a game without placement, and for inputs that it does not have."""
        config, shape = self.model_config, self.observation_space.shape
        placement = config.get("placement")
        if placement is None:
            raise ValueError(
                "model=afterstates needs a board game whose environment states how actions place pieces "
                "(Group.placement), as connect_four and tic_tac_toe do; use model=ntuple, mlp or cnn"
            )
        # Inputs that the tables cannot take are refused instead of ignored.
        for problem, has_it in (
            ("a centralized critic: give algorithm.critic=local", config["state_size"]),
            ("agent ids: give policies.agent_id=false", config["num_agents"]),
            ("value decomposition: use algorithm=td or ppo", config.get("epsilon_greedy", False)),
        ):
            if has_it:
                raise ValueError(f"model=afterstates does not support {problem}")
        actions = len(placement["actions"])
        reason = misfit(Placement(**placement), shape, getattr(self.action_space, "n", 0))
        if reason is not None:
            raise ValueError(f"model=afterstates: the placement of this game {reason}")
        height, width, _ = shape
        # Where all empty cells can be chosen, a state of its own would say nothing. The cells of actions are disjoint.
        cells = [cell for row in placement["actions"] for cell in row]
        reachable = config.get("reachable", False) and len(set(cells)) == len(cells) > actions
        windows = config["windows"] or default_windows(height, width)
        groups = checked_windows(height, width, 4 if reachable else 3, windows, config["diagonals"])
        views = np.arange(height * width)[None]
        if "symmetries" in config:
            # Entry 2 c of an observation is cell c of the first plane.
            views = np.array(config["symmetries"]["observations"])[:, ::2] // 2
        # What ActorCritic's methods read.
        self.central, self.shared, self.epsilon_greedy = False, True, False
        self.scale, self.memory_size = None, 0
        groups = without_views(groups, views)
        encoder = AfterstateValues(placement["actions"], placement["lines"], groups, views, reachable)
        self.policy_head = Head(encoder, None, actions, num_agents=0, size=actions, precision="float32")
        # The encoder has one value per action. In the place of the head's linear layer they become logits, and the
        # critic takes their mean.
        logits = Temperature(actions)
        self.policy_head.linear = logits
        self.value_head: Any = MeanValue(logits)

    def make_encoder(self) -> tuple[nn.Module, int]:
        """Refuse: `setup` builds the whole network."""
        raise NotImplementedError("an afterstate network has no encoder of its own")

    def set_temperature(self, temperature: float) -> None:
        """Set the temperature of the policy."""
        self.policy_head.linear.temperature.fill_(temperature)

    def outputs_of_slots(self, weights: Mapping[str, Tensor], slots: Tensor, observations: Tensor) -> Tensor:
        """Return the policy head's outputs [R, n], row r with the weights of slot `slots[r]`, int64 [R].

        weights: name -> [S, *shape], those of S networks like this one.
        """
        tables, temperature = weights["policy_head.encoder.tables"], weights[TEMPERATURE]
        values = self.policy_head.encoder(observations, tables, slots)
        return (values / temperature[slots, None]).clamp(min=ILLEGAL)

    def action_values_taken(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Return the values [R] of legal actions int64 [R]: what TD learning trains."""
        values: Tensor = self.policy_head.encoder.chosen(observations, actions)
        return values


@dataclass(frozen=True, kw_only=True)
class Afterstates(Architecture):
    """The option `model=afterstates`: values of the positions after each action, by lookup tables.

    windows: (height, width) of the rectangles whose cells are a group, at every place of the board; None: those of
        `default_windows`.
    diagonals: lengths of the diagonal lines whose cells are a group.
    reachable: whether, in games such as Connect Four, an empty cell in which a piece can be placed next has a state of
        its own, as in Thill, Koch and Konen (2012); the tables are larger then.
    """

    windows: Sequence[Sequence[int]] | None = None
    diagonals: Sequence[int] = (4, 5, 6)
    reachable: bool = True
    # Settings of dense layers, which this network does not have.
    hidden: Sequence[int] = field(init=False, default=(1,))
    activation: str = field(init=False, default="tanh")
    vf_share_layers: bool = field(init=False, default=True)
    precision: str = field(init=False, default="float32")
    scale_observations: bool = field(init=False, default=False)
    normalize_observations: bool = field(init=False, default=False)
    orthogonal_init: bool = field(init=False, default=False)
    module_class: ClassVar[type[ActorCritic]] = AfterstateModule

    def __post_init__(self) -> None:
        super().__post_init__()
        check_window_settings(self.windows or (), self.diagonals)
