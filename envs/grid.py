"""Cells of a grid, numbered row by row: helpers of environments on grids."""

from __future__ import annotations

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
