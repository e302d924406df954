"""Sequences of one agent's consecutive rows, on which a network with a memory is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def sequences(
    successors: Ints, blocks: Sequence[tuple[int, int]], chosen: Bools, max_seq_len: int
) -> tuple[Ints, Ints]:
    """Return the order in which linked rows form sequences, int64 [rows], and the lengths of the sequences, int64 [S].

    successors: [R], the index of the agent's next row (in a later block), or -1. blocks: (start, stop) of the rows of
    each step. chosen: bool [R], the rows to use; a row that is not chosen has no successor. Sequences longer than
    `max_seq_len` are cut.
    """
    first = np.arange(len(successors))  # [R]: index of the first row of each row's sequence
    place = np.zeros(len(successors), np.int64)  # [R]: position of each row in its sequence
    # In the order of time: the place of a row is final before its successor reads it.
    for start, stop in blocks:
        rows = np.arange(start, stop)[successors[start:stop] >= 0]
        following = successors[rows]  # a row is the successor of one row at most
        place[following] = (place[rows] + 1) % max_seq_len
        first[following] = np.where(place[following] == 0, following, first[rows])
    # Sort by sequence, then by position. np.unique counts rows per sequence in the same order.
    rows = np.flatnonzero(chosen)
    order = rows[np.lexsort((place[rows], first[rows]))]
    return order, np.unique(first[rows], return_counts=True)[1]
