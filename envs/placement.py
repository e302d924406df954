"""Placement: what an action does on a board where each action places one piece, stated as data.

Tic-tac-toe, Connect Four and Gomoku are such games. With it a network computes the afterstates of an observation, the
positions after each action, without the environment (`players/modules/afterstates.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Indices = tuple[tuple[int, ...], ...]


class Placement(NamedTuple):
    """The rules of a group of agents that see boards [rows, columns, 2]: pieces of the agent, then of the opponent.

    Cells are numbers, row * columns + column. A match ends when a line is complete, or when the board is full: a draw.

    actions: for each action its cells; the piece goes to the first empty one, and the action is illegal if none is.
    lines: cells of each line, all of one length. An agent whose pieces are on a whole line has won.
    """

    actions: Indices
    lines: Indices

    @classmethod
    def from_arrays(cls, actions: NDArray[Any], lines: NDArray[Any]) -> Placement:
        """Return the placement given integer arrays [actions, cells per action] and [lines, length of a line]."""
        return cls(*(tuple(tuple(row) for row in array.tolist()) for array in (actions, lines)))


def misfit(placement: Placement, shape: Sequence[int], actions: int) -> str | None:
    """Return why a placement does not fit observations of a shape and a number of actions; None if it does."""
    if len(shape) != 3 or shape[2] != 2:
        return f"needs observations [rows, columns, 2], not {tuple(shape)}"
    if len(placement.actions) != actions:
        return f"has {len(placement.actions)} actions, and the action space {actions}"
    cells = shape[0] * shape[1]
    for name, rows in placement._asdict().items():
        for row in rows:
            if not row or not set(row) <= set(range(cells)):
                return f"has {name} with {tuple(row)}, which are not cells 0 to {cells - 1}"
    if len({len(line) for line in placement.lines}) != 1:
        return "has lines of different lengths, or none"
    return None


def lines_on_board(rows: int, columns: int, length: int) -> NDArray[np.int64]:
    """Return the cells of straight lines of `length` cells, in rows, columns and both diagonals: [lines, length]."""
    cells = np.arange(rows * columns).reshape(rows, columns)
    found: list[NDArray[np.int64]] = []
    # To the right, down, and both diagonals: each line is found once, from one of its ends.
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for row in range(rows):
            for column in range(columns):
                last_row, last_column = row + down * (length - 1), column + right * (length - 1)
                if last_row < rows and 0 <= last_column < columns:
                    steps = np.arange(length)
                    found.append(cells[row + down * steps, column + right * steps])
    return np.array(found, np.int64).reshape(-1, length)


def afterstates(
    boards: NDArray[Any], placement: Placement
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (boards after each action [R, n, *shape], which actions are legal [R, n], which complete a line [R, n]).

    A plain account for the checker and tests, a loop over rows and actions; `boards` [R, rows, columns, 2]. An illegal
    action leaves the board as it is.
    """
    after = np.repeat(boards[:, None], len(placement.actions), axis=1)
    legal = np.zeros(after.shape[:2], np.bool_)
    wins = np.zeros(after.shape[:2], np.bool_)
    flat = after.reshape(*after.shape[:2], -1, 2)  # a view: [R, n, cells, 2]
    for row in range(len(boards)):
        for action, cells in enumerate(placement.actions):
            empty = [cell for cell in cells if not flat[row, action, cell].any()]
            # The piece goes to the first empty cell of the action.
            if empty:
                legal[row, action] = True
                flat[row, action, empty[0], 0] = 1
                wins[row, action] = any(flat[row, action, list(line), 0].all() for line in placement.lines)
    return after, legal, wins
