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
from numpy.typing import NDArray
from torch import Tensor, nn

from marl_app.envs.placement import Placement, misfit
from marl_app.players.modules.actor_critic import ActorCritic, Architecture
from marl_app.players.modules.epsilon_greedy import ILLEGAL
from marl_app.players.modules.heads import Head
from marl_app.players.modules.ntuple import check_window_settings, checked_windows

EXACT_FLOATS = 2**24
"""Whole numbers below this are exact in float32."""
TEMPERATURE = "policy_head.linear.temperature"
"""Name of the temperature among the weights of the network."""


class AfterstateValues(nn.Module):
    """A layer that maps boards [R, height, width, 2] of 0 and 1 to the values of all actions, float32 [R, n].

    A value is in [-1, 1], for the agent that acts: 1 if the action completes a line. It is ILLEGAL for illegal actions.

    actions, lines: the fields of `Placement`. groups: cells of the groups [groups, k] of each shape, each with a table
        that all views of the group share; of groups that are views of one another, the first is enough.
    reachable: a cell where a piece can be placed now has a state of its own (see `Afterstates`).
    views: int64 [S, cells]; cell c of the board in symmetric view s is cell `views[s, c]` of the original.
    """

    def __init__(
        self,
        actions: Sequence[Sequence[int]],
        lines: Sequence[Sequence[int]],
        groups: Sequence[NDArray[np.int64]],
        views: NDArray[np.int64],
        reachable: bool = False,
    ) -> None:
        super().__init__()
        cells = views.shape[1]
        base = 4.0 if reachable else 3.0
        # The index of an entry is linear in the states of the cells (0 empty, 1 the agent's, 2 the opponent's, 3
        # reachable): states [R, cells] @ powers [cells, T] + offsets [T]. So an action adds multiples of rows of
        # `powers`: that of its cell, whose state becomes 1, and that of the cell that becomes reachable.
        powers, offsets, rows = [], [], 0
        for group in groups:
            count, length = group.shape
            for view in views:
                power = np.zeros((cells, count), np.float32)
                np.add.at(power, (view[group], np.arange(count)[:, None]), base ** np.arange(length))
                powers.append(power)
                offsets.append(rows + np.arange(count) * base**length)
            rows += count * int(base) ** length
        if rows > EXACT_FLOATS:
            raise ValueError(f"model.windows: the tables have {rows:,} entries, more than {EXACT_FLOATS:,}; give fewer")
        self.tables = nn.Parameter(torch.zeros(rows))
        longest = max(map(len, actions))
        on_line = np.zeros((cells, len(lines)), np.float32)
        on_line[np.array(lines).T, np.arange(len(lines))] = 1
        # Plain attributes made by numpy stay in memory where a network is built on, or moved to, the meta device.
        power = np.concatenate(powers, axis=1)  # [cells, T]
        self._powers = torch.from_numpy(power)
        # below, above: the cells before and after a cell among those of its action; `cells` if there is none.
        below, above = np.full((2, cells + 1), cells)
        for row in actions:
            below[np.array(row[1:], np.int64)], above[np.array(row[:-1], np.int64)] = row[:-1], row[1:]
        self._below, self._above = torch.from_numpy(below[:-1]), torch.from_numpy(above)
        # What a piece on a cell adds to the indices, [2 * (cells + 1), T], zero for no cell. The second half is for
        # cells above which there is none that becomes reachable.
        padded = np.pad(power, [(0, 1), (0, 0)])
        changes = [-2 * padded + 3 * padded[above], -2 * padded] if reachable else [padded, padded]
        self._changes = torch.from_numpy(np.concatenate(changes))
        self._reachable = reachable
        self._offsets = torch.from_numpy(np.concatenate(offsets).astype(np.float32))
        # [n, longest]: the last cell repeated changes nothing, because it is occupied if no cell before it is empty.
        self._cells = torch.from_numpy(np.array([[*row, *[row[-1]] * (longest - len(row))] for row in actions]))
        self._on_line, self._length = torch.from_numpy(on_line), len(lines[0])

    def forward(self, boards: Tensor, tables: Tensor | None = None, slots: Tensor | None = None) -> Tensor:
        """Return the values of all actions [R, n].

        tables: [S, entries], of S networks in the place of this one's, of which row r is evaluated by `slots[r]`.
        """
        own, states, empty = self._states(boards)
        actions = self._cells.to(boards.device)
        free = empty[:, actions]  # [R, n, longest]
        # argmax of 0 and 1 is the first that is 1.
        targets = actions[torch.arange(len(actions), device=boards.device), free.byte().argmax(2)]  # [R, n]
        values = self._values(own, states, empty, targets, tables, slots)
        return torch.where(free.any(2), values, ILLEGAL)

    def chosen(self, boards: Tensor, actions: Tensor) -> Tensor:
        """Return the values [R] of legal actions, int64 [R]: as `forward`, at a fraction of its time."""
        own, states, empty = self._states(boards)
        cells = self._cells.to(boards.device)[actions]  # [R, longest]
        targets = cells.gather(1, empty.gather(1, cells).byte().argmax(1, keepdim=True))  # [R, 1]
        return self._values(own, states, empty, targets).squeeze(1)

    def _states(self, boards: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return which cells have a piece of the agent, the states of all cells, and which are empty: [R, cells]."""
        own, opponent = boards.flatten(1, 2).float().unbind(2)
        states = own + 2 * opponent * (1 - own)  # never 3, even of impossible boards
        empty = states == 0
        if self._reachable:
            # The cell of no action is occupied: the lowest cells have a floor below them.
            occupied = nn.functional.pad(~empty, (0, 1), value=True)  # [R, cells + 1]
            states = states + 3 * (empty & occupied[:, self._below.to(occupied.device)])
        return own, states, empty

    def _values(
        self,
        own: Tensor,
        states: Tensor,
        empty: Tensor,
        targets: Tensor,
        tables: Tensor | None = None,
        slots: Tensor | None = None,
    ) -> Tensor:
        """Return the values [R, a] of the positions with one more piece of the agent, on cells `targets` [R, a]."""
        device = own.device
        on_line, cells = self._on_line.to(device), empty.shape[1]
        now = states @ self._powers.to(device) + self._offsets.to(device)  # [R, T]
        # An illegal action changes nothing. On impossible boards the cell above may be occupied, and stays so.
        rows = torch.where(empty.gather(1, targets), targets, cells)
        above = self._above.to(device)[rows]
        rows = rows + (cells + 1) * ~nn.functional.pad(empty, (0, 1)).gather(1, above)
        indices = (now[:, None] + self._changes.to(device)[rows]).int()  # [R, a, T]
        if tables is None or slots is None:
            tables = self.tables
        else:
            indices = indices + (slots * tables.shape[1])[:, None, None]
        indices = indices.flatten(0, 1)  # [R * a, T]
        # The backward pass of index_select is one index_add; that of EmbeddingBag, which sorts, takes 13 times as long.
        entries = tables.flatten().index_select(0, indices.flatten()).view(indices.shape)
        values = torch.tanh(entries.sum(dim=1)).view(targets.shape)
        # Lines on which the agent lacks one piece; an empty cell on such a line is the place of that piece.
        lacking = (own @ on_line == self._length - 1).float()  # [R, lines]
        wins = (lacking @ on_line.T).gather(1, targets) > 0
        is_last = (empty.sum(dim=1, keepdim=True) == 1) & ~wins
        return torch.where(wins, 1.0, torch.where(is_last, 0.0, values))


def without_views(groups: Sequence[NDArray[np.int64]], views: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the groups [groups, k] of each shape, without those that are a symmetric view of an earlier one."""
    found: set[frozenset[int]] = set()
    kept = []
    for of_shape in groups:
        rows = []
        for cells in of_shape:
            if frozenset(cells.tolist()) not in found:
                rows.append(cells)
                found |= {frozenset(view[cells].tolist()) for view in views}
        kept.append(np.array(rows, np.int64).reshape(-1, of_shape.shape[1]))
    return kept


def default_windows(height: int, width: int) -> list[list[int]]:
    """Return the windows [height, width] of a board: the board if it has at most 9 cells, else 8 cells, and lines of 7.

    In Connect Four, windows of 3 x 3 in addition made a network twice as slow and no stronger.
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
