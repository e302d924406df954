"""Cells of a grid, numbered row by row: what environments on grids share."""

from __future__ import annotations

import numpy as np

from marl_app.envs.batched import Bools, Ints


def coordinates(cells: Ints, columns: int) -> Ints:
    """Row and column, int64 [..., 2], of cells [...]."""
    return np.stack(np.divmod(cells, columns), axis=-1)


def draw_cells(rng: np.random.Generator, room: Bools) -> Ints:
    """One cell of each row of `room` (bool [K, cells]) that is True, each with the same chance: [K]; any if none is."""
    points = rng.random(room.shape)
    points[~room] = -1
    cells: Ints = points.argmax(axis=1)
    return cells
