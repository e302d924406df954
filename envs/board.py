"""A position on a rectangular board, as people see it: terminals, pictures and the page to play draw it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NO_PIECE = NO_ACTION = -1
SYMBOLS = "XOABCDEFGHIJKLMNPQRSTUVWYZ"
"""Of the pieces of agents 0, 1, ...; those of later agents are numbers."""


class Board(NamedTuple):
    """Pieces on cells, and what a click on a cell means.

    pieces: int64 [rows, columns], row 0 on top: the agent that owns the piece there, or NO_PIECE.
    actions: int64 [rows, columns]: the legal action of the agent to move that the cell stands for, or NO_ACTION.
    column_labels, row_labels: one for each column and row; empty for none.
    """

    pieces: NDArray[np.int64]
    actions: NDArray[np.int64]
    column_labels: tuple[str, ...] = ()
    row_labels: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the board as lines: a symbol per piece, a dot per empty cell, labels above and on the left."""
        width = max([1, *map(len, self.column_labels)])
        margin = max([0, *map(len, self.row_labels)])
        labels = self.row_labels or ("",) * len(self.pieces)
        cells = [["." if owner == NO_PIECE else symbol(owner) for owner in row] for row in self.pieces.tolist()]
        lines = [self.column_labels, *cells] if self.column_labels else cells
        # The line of column labels has no row label: it takes the empty one in front of the others.
        return "\n".join(
            " ".join([*([label.rjust(margin)] if margin else []), *(cell.rjust(width) for cell in line)]).rstrip()
            for label, line in zip(("", *labels)[-len(lines) :], lines, strict=True)
        )


Rendering = str | NDArray[np.uint8] | Board
"""What people see of a match: a text, a picture uint8 [height, width, 3], or a board."""


def symbol(agent: int) -> str:
    """Return the symbol of an agent's pieces."""
    return SYMBOLS[agent] if agent < len(SYMBOLS) else str(agent)


def number_name(action: Any) -> str:
    """Return an action as its number, or its numbers with spaces between them (MultiDiscrete and Box)."""
    return " ".join(f"{number:.4g}" for number in np.ravel(action).tolist())
