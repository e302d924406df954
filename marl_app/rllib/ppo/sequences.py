"""Rows of one agent after another: what a network with a memory is trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def sequences(
    successors: Ints, blocks: Sequence[tuple[int, int]], chosen: Bools, max_seq_len: int
) -> tuple[Ints, Ints]:
    """The order in which linked rows form sequences, int64 [rows], and the lengths of these, int64 [S].

    successors: [R], the index of the agent's next row (in a later block), or -1. blocks: (start, stop) of the rows of
    each step. chosen: [R], the rows to be used; a row that is not has no successor. No sequence is longer than
    `max_seq_len`: longer ones are cut.
    """
    first = np.arange(len(successors))  # the first row of each row's sequence
    place = np.zeros(len(successors), np.int64)  # and its place there
    for start, stop in blocks:
        rows = np.arange(start, stop)[successors[start:stop] >= 0]
        following = successors[rows]
        place[following] = (place[rows] + 1) % max_seq_len
        first[following] = np.where(place[following] == 0, following, first[rows])
    rows = np.flatnonzero(chosen)
    order = rows[np.lexsort((place[rows], first[rows]))]
    return order, np.unique(first[rows], return_counts=True)[1]
