"""Cells of a grid, numbered row by row: helpers of environments on grids."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from marl_app.envs.batched import Bools, Ints


def coordinates(cells: Ints, columns: int) -> Ints:
    """Return row and column, int64 [..., 2], of cells [...]."""
    return np.stack(np.divmod(cells, columns), axis=-1)


def draw_cells(rng: np.random.Generator, room: Bools) -> Ints:
    """Draw a free cell per row of `room` (bool [K, cells], True where free), each with equal probability: [K].

    Rows without a free cell get an arbitrary cell.
    """
    # The argmax of uniform random numbers over the free cells is a uniform free cell.
    points = rng.random(room.shape)
    points[~room] = -1
    cells: Ints = points.argmax(axis=1)
    return cells


def grid_text(
    rows: int, columns: int, marks: Iterable[tuple[int, str]], center: int | None = None, sight: int = 0
) -> str:
    """Return a grid as lines: marks (cell, text) in their cells, dots in empty ones; later marks cover earlier ones.

    center: the cell of an agent that sees `sight` rows and columns around it; others are blank. None: all are seen.
    """
    cells = np.full((rows, columns), ".", np.dtypes.StringDType())
    for cell, mark in marks:
        cells.flat[cell] = mark
    if center is not None:
        row, column = divmod(center, columns)
        # [rows, columns] bool, cut off at the edges of the grid.
        seen = np.zeros((rows, columns), np.bool_)
        seen[max(0, row - sight) : row + sight + 1, max(0, column - sight) : column + sight + 1] = True
        cells[~seen] = ""
    lines: list[list[str]] = cells.tolist()
    width = max(len(cell) for line in lines for cell in line)
    return "\n".join(" ".join(cell.rjust(width) for cell in line) for line in lines)
