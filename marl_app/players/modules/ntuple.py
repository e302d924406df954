"""N-tuple networks: a lookup table for each group of cells of a board, summed (Lucas, 2008, "Learning to play Othello
with n-tuple systems"; Thill, Koch and Konen, 2012, for Connect Four).

A group of k cells that each have m states is in one of m^k states, its index in the table. A row of a table is a
vector; the sum of one row per table replaces the first dense layer of other networks. So a position costs as many
additions as there are groups, whatever the size of the tables.

Where we differ: groups are all windows of given shapes instead of random walks; the tables are shared by policy and
value, have vectors instead of single weights, and are followed by an activation and dense layers; they are trained by
PPO on positions instead of by temporal differences on afterstates. Symmetric groups have tables of their own: with
`algorithm.symmetries` they learn the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from marl_app.players.modules.actor_critic import ActorCritic, Architecture, check_widths, dense

LARGEST_TABLE = 100_000
"""Rows of a table; more are refused, since training visits few of them."""


def board_windows(
    height: int, width: int, windows: Sequence[Sequence[int]], diagonals: Sequence[int]
) -> list[NDArray[np.int64]]:
    """Return the cells of all groups, as numbers row * width + column: [groups, k] per shape.

    windows: (height, width) of rectangles. diagonals: lengths of lines in both diagonal directions.
    """
    cells = np.arange(height * width).reshape(height, width)
    # [places, height * width of the window]: every place of each window on the board.
    found = [
        np.lib.stride_tricks.sliding_window_view(cells, shape).reshape(-1, shape[0] * shape[1])
        for shape in (tuple(window) for window in windows)
        if shape[0] <= height and shape[1] <= width
    ]
    for length in diagonals:
        if length <= min(height, width):
            # The diagonals of all squares; mirrored squares have those of the other direction.
            squares = np.lib.stride_tricks.sliding_window_view(cells, (length, length)).reshape(-1, length, length)
            both = [squares, squares[:, :, ::-1]]
            found += [np.diagonal(square, axis1=1, axis2=2) for square in both]
    return [group.astype(np.int64) for group in found]


def checked_windows(
    height: int, width: int, states: int, windows: Sequence[Sequence[int]], diagonals: Sequence[int]
) -> list[NDArray[np.int64]]:
    """Return `board_windows`, of cells with so many states.

    Raises ValueError if there are none, or if the table of one would be too large.
    """
    groups = board_windows(height, width, windows, diagonals)
    if not groups:
        raise ValueError(
            f"model.windows={windows}, model.diagonals={diagonals}: none fits a board of {height} x {width} cells"
        )
    largest = states ** max(group.shape[1] for group in groups)
    if largest > LARGEST_TABLE:
        raise ValueError(
            f"model.windows={windows}: a table has {largest:,} rows ({states} states per cell), more than "
            f"{LARGEST_TABLE:,}; give smaller windows"
        )
    return groups


def check_window_settings(windows: Sequence[Sequence[int]], diagonals: Sequence[int]) -> None:
    """Raise ValueError unless windows are pairs [height, width], and diagonals lengths, all at least 1."""
    if diagonals:
        check_widths("model.diagonals", diagonals)
    for window in windows:
        if not isinstance(window, list | tuple) or len(window) != 2 or min(window) < 1:
            raise ValueError(f"model.windows: {window} is not [height, width], each at least 1")


class TupleTables(nn.Module):
    """A layer that maps boards [R, height, width, planes] of 0 and 1 to the sum of table rows, float32 [R, size].

    The state of a cell is 0 if it is empty in all planes, else 1 + the first plane in which it is not.
    """

    def __init__(self, groups: Sequence[NDArray[np.int64]], planes: int, size: int) -> None:
        super().__init__()
        states = planes + 1
        # All tables are one array of rows. The row of a group is its table's offset, plus the number whose digits to
        # the base `states` are the states of its cells.
        offsets, rows = [], 0
        for group in groups:
            count, length = group.shape
            offsets.append(rows + np.arange(count) * states**length)
            rows += count * states**length
        self._groups = [torch.from_numpy(group) for group in groups]
        self._offsets = [torch.from_numpy(offset) for offset in offsets]
        self._powers = [torch.from_numpy(states ** np.arange(group.shape[1])) for group in groups]
        self.tables = nn.EmbeddingBag(rows, size, mode="sum")
        # The sum of one row per group has variance 1.
        nn.init.normal_(self.tables.weight, std=sum(map(len, groups)) ** -0.5)

    def forward(self, boards: Tensor) -> Tensor:
        occupied = boards.flatten(1, 2) != 0  # [R, cells, planes]
        # argmax of 0 and 1 is the first plane that is 1.
        cells = torch.where(occupied.any(2), occupied.byte().argmax(2) + 1, 0)  # int64 [R, cells]
        rows = [
            (cells[:, group.to(cells.device)] * powers.to(cells.device)).sum(2) + offsets.to(cells.device)
            for group, powers, offsets in zip(self._groups, self._powers, self._offsets, strict=True)
        ]
        indices = torch.cat(rows, dim=1)
        if torch.compiler.is_exporting():  # ONNX has no EmbeddingBag: it would become a loop over rows
            return nn.functional.embedding(indices, self.tables.weight).sum(dim=1)
        summed: Tensor = self.tables(indices)
        return summed


class NTupleModule(ActorCritic):
    """A network of tables over groups of cells, an activation, then dense layers of the widths `hidden`."""

    can_stack = False  # torch has no batching rule for EmbeddingBag

    def make_encoder(self) -> tuple[nn.Module, int]:
        """Return the tables for the shape of the board, then dense layers."""
        space, config = self.observation_space, self.model_config
        if len(space.shape) != 3 or not _is_binary(space):
            raise ValueError(
                f"model=ntuple needs boards [height, width, planes] of 0 and 1, not {space}; use model=mlp or cnn"
            )
        height, width, planes = space.shape
        groups = checked_windows(height, width, planes + 1, config["windows"], config["diagonals"])
        tables = TupleTables(groups, planes, config["embedding"])
        head, features = dense(config["embedding"], config["hidden"], self.activation)
        return nn.Sequential(tables, self.activation(), head), features


def _is_binary(space: spaces.Box) -> bool:
    return bool((space.low == 0).all() and (space.high == 1).all() and np.issubdtype(space.dtype, np.integer))


@dataclass(frozen=True, kw_only=True)
class NTuple(Architecture):
    """The option `model=ntuple`: lookup tables over groups of cells, then dense layers of the widths `hidden`.

    windows: (height, width) of the rectangles whose cells are a group, at every place of the board.
    diagonals: lengths of the diagonal lines whose cells are a group.
    embedding: the number of entries of a table's row.
    """

    windows: Sequence[Sequence[int]] = ((1, 4), (4, 1))
    diagonals: Sequence[int] = (4,)
    embedding: int = 128
    hidden: Sequence[int] = (128,)
    module_class: ClassVar[type[ActorCritic]] = NTupleModule

    def __post_init__(self) -> None:
        super().__post_init__()
        check_widths("model.embedding", [self.embedding])
        check_window_settings(self.windows, self.diagonals)
        if self.normalize_observations:
            raise ValueError("model.normalize_observations=true: tables need boards as they are; give false")
