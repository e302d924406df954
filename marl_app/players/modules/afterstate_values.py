"""The layer of afterstate networks: the value of the board after each action, a sum of table entries through tanh.

An entry's index is a linear function of the states of the cells, so all indices of all actions come from one matrix
product. See `afterstates.py` for the method and its sources.

Shapes: R rows, n actions, T table entries per position.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from marl_app.players.modules.epsilon_greedy import ILLEGAL

EXACT_FLOATS = 2**24
"""Whole numbers below this are exact in float32."""


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
