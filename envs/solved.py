"""Solved positions: positions of a game for which the value of every move is known.

They measure play against the truth instead of against opponents: a player that beats all anchors may still give away
won positions. An environment offers them with `BatchedEnv.solved_positions`; `evaluation/solved.py` measures players in
them, and `checked_solved.py` checks them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Float32s = NDArray[np.float32]


class SolvedPosition(NamedTuple):
    """A position of a game of two sides without chance, in which a mistake is possible: not all values are equal.

    moves: the actions that lead to it from the initial position, of all agents in turn.
    values: legal action -> game-theoretic value for the side to move after taking it: 1 win, 0 draw, -1 loss.
    """

    moves: tuple[int, ...]
    values: Mapping[int, int]


class SolvedBatch(NamedTuple):
    """K solved positions after the same number L of moves, so that K matches reach them in the same step.

    moves: int64 [K, L]. values: float32 [K, n], NaN for illegal actions.
    """

    moves: Ints
    values: Float32s


def batches_by_length(positions: Sequence[SolvedPosition], actions: int) -> Iterator[SolvedBatch]:
    """Yield the positions as batches, the shortest first. `actions`: n, the number of actions of the action space."""
    # Sorted, because `groupby` only joins neighbors.
    by_length = sorted(positions, key=lambda position: len(position.moves))
    for length, group in groupby(by_length, lambda position: len(position.moves)):
        chosen = list(group)
        values = np.full((len(chosen), actions), np.nan, np.float32)
        for row, position in enumerate(chosen):
            values[row, list(position.values)] = list(position.values.values())
        moves = np.array([position.moves for position in chosen], np.int64).reshape(len(chosen), length)
        yield SolvedBatch(moves, values)
