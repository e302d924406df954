"""The experience of one trained network: a growing list of linked rows that becomes a training batch.

A row is one decision of one agent: its observation, its action, and its rewards until the same agent's next decision.
`gae` follows the links from row to row. If an agent has not had its next turn when the fragment ends, its last row is
held over: it opens the next fragment and is trained on there. So no row is lost, and no row is bootstrapped from the
observation of another agent.

Each row has the critic's value of its observation, by the weights that made the decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns

from marl_app.players.modules.actor_critic import LENGTHS, MEMORY
from marl_app.rllib.ppo.advantages import gae
from marl_app.rllib.ppo.sequences import sequences

Array = NDArray[Any]
Bools = NDArray[np.bool_]
Float32s = NDArray[np.float32]
Ints = NDArray[np.int64]

REWARDS, SUCCESSORS, LAST_VALUES = "rewards", "successors", "last_values"
# Columns that are filled in after the decision: dtype and the value until then. Successor -1: no next row (yet).
_LINKS = {REWARDS: (np.float32, 0.0), SUCCESSORS: (np.int64, -1), LAST_VALUES: (np.float32, 0.0)}


class Experience:
    """Rows of the agents that one network plays, in `num_matches` matches of `num_agents` agents.

    steps: length of a fragment in env steps. network_agents: number of agents that the network plays.
    max_seq_len: the rows of a network with a memory are put into sequences of at most this length.
    """

    def __init__(
        self, num_matches: int, num_agents: int, network_agents: int, steps: int, max_seq_len: int = 1
    ) -> None:
        # [matches, agents]: index of the agent's last row, while that is open for rewards and a successor; else -1.
        self._open: Ints = np.full((num_matches, num_agents), -1, np.int64)
        # A row per step and agent, and one that was held over.
        self._capacity = (steps + 1) * num_matches * network_agents
        self._max_seq_len = max_seq_len
        self._start({})

    def _start(self, held_over: Mapping[str, Array]) -> None:
        """Begin a fragment with the rows that the one before held over."""
        self._columns: dict[str, Array] = {}
        self._size = 0
        self._blocks: list[tuple[int, int]] = []  # (start, stop) of the rows of each step
        if held_over:
            self._append(held_over)

    def _append(self, columns: Mapping[str, Array]) -> Ints:
        """Append rows as one block. Return their indices [R]."""
        start, stop = self._size, self._size + len(columns[Columns.OBS])
        for name, values in columns.items():
            if name not in self._columns:
                self._columns[name] = np.empty((self._capacity, *values.shape[1:]), values.dtype)
            self._columns[name][start:stop] = values
        for name, (dtype, default) in _LINKS.items():
            if name not in columns:
                self._columns.setdefault(name, np.empty(self._capacity, dtype))[start:stop] = default
        self._size = stop
        self._blocks.append((start, stop))
        return np.arange(start, stop)

    def add_decisions(self, matches: Ints, agents: Ints, columns: Mapping[str, Array]) -> None:
        """Add the decisions of one step: `columns` [R, ...] of agents [R] in matches [R], each pair at most once."""
        if not len(matches):
            return
        rows = self._append(columns)
        # Link each agent's open row to its new one. The pairs are distinct, so no assignment hits an index twice.
        earlier = self._open[matches, agents]
        linked = earlier >= 0
        self._columns[SUCCESSORS][earlier[linked]] = rows[linked]
        self._open[matches, agents] = rows

    def add_rewards(self, rewards: Float32s) -> None:
        """Add the rewards of one step, float32 [B, agents], to each agent's last decision."""
        paid = (rewards != 0) & (self._open >= 0)
        if paid.any():
            self._columns[REWARDS][self._open[paid]] += rewards[paid]

    def close_terminated(self, terminated: Bools) -> None:
        """Close the rows of agents, bool [B, agents], whose episodes were terminated: the value after them is 0."""
        self._open[terminated] = -1

    def open_rows(self, agents_mask: Bools) -> tuple[Ints, Ints]:
        """Return (matches [R], agents [R]) of the agents in bool [B, agents] whose last row is open."""
        matches, agents = (agents_mask & (self._open >= 0)).nonzero()
        return matches, agents

    def close_bootstrapped(self, matches: Ints, agents: Ints, values: Float32s) -> None:
        """Close open rows whose episodes continue outside of the fragment, with the critic's `values` [R] of that."""
        self._columns[LAST_VALUES][self._open[matches, agents]] = values
        self._open[matches, agents] = -1

    def pop_batch(self, gamma: float, lambda_: float) -> dict[str, Array]:
        """End the fragment and return its training columns [R, ...]; {} without any row to train on.

        Advantages are not standardized. Rows that are still open begin the next fragment. With a memory, rows are in
        the order of their sequences, and LENGTHS [S] and MEMORY [S, size] have one row per sequence.
        """
        if not self._size:
            return {}
        # 1. Advantages of all rows, from the links between them.
        columns = {name: values[: self._size] for name, values in self._columns.items()}
        is_open = self._open >= 0
        held = np.sort(self._open[is_open])  # rows that are held over
        values, successors, blocks = columns.pop(Columns.VF_PREDS), columns.pop(SUCCESSORS), self._blocks
        rewards, last_values = columns.pop(REWARDS), columns.pop(LAST_VALUES)
        advantages = gae(rewards, values, successors, last_values, blocks, gamma, lambda_, held)
        columns |= {Columns.ADVANTAGES: advantages, Columns.VALUE_TARGETS: advantages + values}

        # 2. Split off the rows that are held over. Their links are made again when their successors arrive.
        trained = np.ones(self._size, np.bool_)
        trained[held] = False
        held_over = (
            {name: values[held] for name, values in self._columns.items() if name != SUCCESSORS} if len(held) else {}
        )
        # Held rows are the first of the next fragment, in the same order: an index becomes its rank among them.
        self._open[is_open] = np.searchsorted(held, self._open[is_open])
        self._start(held_over)
        if not trained.any():
            return {}
        # 3. Return the rows to train on; with a memory in the order of their sequences.
        if MEMORY in columns:
            order, lengths = sequences(successors, blocks, trained, self._max_seq_len)
            first = order[np.cumsum(lengths) - lengths]  # the first row of each sequence
            memory = columns.pop(MEMORY)[first]
            return {name: values[order] for name, values in columns.items()} | {LENGTHS: lengths, MEMORY: memory}
        return columns if trained.all() else {name: values[trained] for name, values in columns.items()}
