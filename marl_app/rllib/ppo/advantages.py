"""Generalized advantage estimation over rows that are linked, not padded.

A fragment is a flat list of rows, one per decision of a trained agent, in the order of time. Row r's successor is the
row of the same agent's next decision in the same match: the very next step in a simultaneous game, some steps later in
a turn-based one, none at the end of the match or of the fragment. Every kind of game is the same linked list, so one
backward sweep over the steps serves all of them: Schulman et al. 2016, "High-dimensional continuous control using
generalized advantage estimation", where one step of the recursion is one decision of the agent (rewards that fall
between two of an agent's own turns are added, undiscounted, to the earlier one).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def gae(
    rewards: Floats,
    values: Floats,
    successors: Ints,
    last_values: Floats,
    blocks: Sequence[tuple[int, int]],
    gamma: float,
    lambda_: float,
    pending: Ints | None = None,
) -> Floats:
    """Advantages, float32 [R].

    rewards: [R], all that the agent got from its decision until its next one (or the end).
    values: [R], the critic's value of each row.
    successors: [R], the index of the agent's next row (in a later block), or -1.
    last_values: [R], read where there is no successor: the value of what followed the row. 0 where the agent's episode
        was terminated, the critic's value of the final observation where it was truncated or the fragment ended.
    blocks: (start, stop) of the rows of each step, in the order of time; together they cover all rows.
    pending: rows whose successor is not known yet; their own advantage is 0 and means nothing, and what leads to
        them is bootstrapped from their value.
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
        # An unlinked row reads advantages[-1] here, and multiplies it by 0.
        advantages[start:stop] = deltas[start:stop] + decay[start:stop] * advantages[successors[start:stop]]
    return advantages
