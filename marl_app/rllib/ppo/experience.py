"""The experience of one trained network: a growing list of linked rows that becomes a ready training batch.

A row is one decision: what was seen, what was done, what came of it until the same agent's next decision. `gae` reads
the links. A row whose agent is still waiting for its next turn when the fragment ends is held over: it opens the next
fragment and is trained on then, so that nothing is lost and nothing is bootstrapped from somebody else's observation.

Each row carries the critic's value of what was seen, by the weights that decided.
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
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

REWARDS, SUCCESSORS, LAST_VALUES = "rewards", "successors", "last_values"
_LINKS = {REWARDS: (np.float32, 0.0), SUCCESSORS: (np.int64, -1), LAST_VALUES: (np.float32, 0.0)}


class Experience:
    """Rows of the agents that one network plays, in `num_matches` matches of `num_agents` agents.

    `steps` is the length of a fragment in env steps; `agents` how many of the agents the network plays. The rows of a
    network with a memory are put into sequences of at most `max_seq_len`.
    """

    def __init__(self, num_matches: int, num_agents: int, agents: int, steps: int, max_seq_len: int = 1) -> None:
        # The last row of each agent that has not been closed: its index, or -1.
        self._open: Ints = np.full((num_matches, num_agents), -1, np.int64)
        self._capacity = (steps + 1) * num_matches * agents
        self._max_seq_len = max_seq_len
        self._start({})

    def _start(self, held_over: Mapping[str, Array]) -> None:
        """Empty buffers that open with the given rows."""
        self._columns: dict[str, Array] = {}
        self._size = 0
        self._blocks: list[tuple[int, int]] = []
        if held_over:
            self._append(held_over)

    def _append(self, columns: Mapping[str, Array]) -> Ints:
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

    def add(self, matches: Ints, agents: Ints, columns: Mapping[str, Array]) -> None:
        """One step's decisions: `columns` [R, ...] of the given agents of the given matches."""
        if not len(matches):
            return
        rows = self._append(columns)
        earlier = self._open[matches, agents]
        linked = earlier >= 0
        self._columns[SUCCESSORS][earlier[linked]] = rows[linked]
        self._open[matches, agents] = rows

    def reward(self, rewards: Floats) -> None:
        """Credit what each agent got in one step, float32 [B, agents], to its last decision."""
        paid = (rewards != 0) & (self._open >= 0)
        if paid.any():
            self._columns[REWARDS][self._open[paid]] += rewards[paid]

    def terminate(self, finished: Bools) -> None:
        """Close the rows of agents, bool [B, agents], that will neither act nor be rewarded again."""
        self._open[finished] = -1

    def waiting(self, among: Bools) -> tuple[Ints, Ints]:
        """The agents, of those in bool [B, agents], that have a row to close: (matches, agents)."""
        matches, agents = (among & (self._open >= 0)).nonzero()
        return matches, agents

    def bootstrap(self, matches: Ints, agents: Ints, values: Floats) -> None:
        """Close rows whose agents' episodes go on unseen: what follows is worth `values` [R]."""
        self._columns[LAST_VALUES][self._open[matches, agents]] = values
        self._open[matches, agents] = -1

    def batch(self, gamma: float, lambda_: float) -> dict[str, Array]:
        """The fragment as training columns (advantages not standardized), {} if there is no row to train on.

        Rows that are not closed open the next fragment. With a memory, rows are in the order of their sequences;
        LENGTHS and MEMORY have a row for each of these.
        """
        if not self._size:
            return {}
        columns = {name: values[: self._size] for name, values in self._columns.items()}
        is_open = self._open >= 0
        held = np.sort(self._open[is_open])
        values, successors, blocks = columns.pop(Columns.VF_PREDS), columns.pop(SUCCESSORS), self._blocks
        rewards, last_values = columns.pop(REWARDS), columns.pop(LAST_VALUES)
        advantages = gae(rewards, values, successors, last_values, blocks, gamma, lambda_, held)
        columns |= {Columns.ADVANTAGES: advantages, Columns.VALUE_TARGETS: advantages + values}
        done = np.ones(self._size, np.bool_)
        done[held] = False
        held_over = (
            {name: values[held] for name, values in self._columns.items() if name != SUCCESSORS} if len(held) else {}
        )
        self._open[is_open] = np.searchsorted(held, self._open[is_open])
        self._start(held_over)
        if not done.any():
            return {}
        if MEMORY in columns:
            order, lengths = sequences(successors, blocks, done, self._max_seq_len)
            first = order[np.cumsum(lengths) - lengths]
            memory = columns.pop(MEMORY)[first]
            return {name: values[order] for name, values in columns.items()} | {LENGTHS: lengths, MEMORY: memory}
        return columns if done.all() else {name: values[done] for name, values in columns.items()}
