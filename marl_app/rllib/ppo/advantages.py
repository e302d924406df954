"""Generalized advantage estimation over rows that are linked, not padded.

Schulman et al., 2016, "High-dimensional continuous control using generalized advantage estimation". A fragment is a
flat list of rows, one per decision of a trained agent, in the order of time. The successor of a row is the row of the
same agent's next decision in the same match: in the next step of a simultaneous game, some steps later in a turn-based
game, absent at the end of the match or of the fragment. So one backward pass over the steps serves all kinds of games.

Where we differ: one step of the recursion is one decision of the agent; rewards between two decisions are added,
undiscounted, to the earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Ints = NDArray[np.int64]


def gae(
    rewards: Float32s,
    values: Float32s,
    successors: Ints,
    last_values: Float32s,
    blocks: Sequence[tuple[int, int]],
    gamma: float,
    lambda_: float,
    pending: Ints | None = None,
) -> Float32s:
    """Return advantages, float32 [R].

    rewards: [R], the sum from the agent's decision until its next decision (or the end).
    values: [R], the critic's value of each row.
    successors: [R], the index of the agent's next row (in a later block), or -1.
    last_values: [R], the value after a row without successor: 0 where the agent's episode was terminated, the critic's
        value of the final observation where it was truncated or the fragment ended.
    blocks: (start, stop) of the rows of each step, in the order of time; together they cover all rows.
    pending: rows whose next decision is after the fragment. Their advantage is set to 0 and must be discarded; their
        predecessors are bootstrapped from their value.
    """
    is_pending = np.zeros(len(rewards), np.bool_)
    if pending is not None:
        is_pending[pending] = True
    advantages = np.zeros(len(rewards), np.float32)
    linked = successors >= 0
    deltas = rewards + gamma * np.where(linked, values[successors], last_values) - values
    deltas[is_pending] = 0.0
    decay = np.where(linked, gamma * lambda_, 0.0).astype(np.float32)
    for start, stop in reversed(blocks):
        # A row without successor has the index -1: it reads advantages[-1], which is multiplied by a decay of 0.
        advantages[start:stop] = deltas[start:stop] + decay[start:stop] * advantages[successors[start:stop]]
    return advantages
