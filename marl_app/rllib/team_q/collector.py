"""The collector of value decomposition: joint steps of a team, in segments of matches, for a replay buffer.

A segment is what one fragment holds of one match: its steps in the order of time, and after them, unless the match was
terminated, a *closing* row: what is seen next, from which the last step is bootstrapped. So every step is followed by
the row it leads to, and nothing is stored twice. Where a match goes on, its next segment opens the next fragment.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns

from marl_app.envs.batched import Step
from marl_app.players.modules.actor_critic import ACTION_MASK, LENGTHS, MEMORY, STATE
from marl_app.rllib.sampling.collector import Batches, Runner

Array = NDArray[Any]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

TEAM = "(team)"
"""Key of the team's columns next to the networks'. The parentheses keep it apart from names of networks."""
CLOSING = "closing"
"""bool [R]: rows that only hold what the row before them leads to."""
PER_SEGMENT = (LENGTHS, MEMORY)
"""Columns with one row per segment; all others have one row per step."""


class TeamCollector:
    """Collects joint steps of all matches: observations and actions [B, k, ...] of each network's k agents; rewards.

    The team's reward is the mean over its agents: the common reward where there is one, and in the units of the
    returns that are reported. (PyMARL adds the rewards of foraging's players up, which is a change of scale.)

    Raises ValueError if an agent does not act in every step.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._all = np.arange(runner.env.num_matches)
        # (network or TEAM, column) -> one array [B, ...] per step; `_closed` likewise, [K, ...] per call of `_close`.
        self._parts: dict[tuple[str, str], list[Array]] = {}
        self._restart()

    def _restart(self) -> None:
        self._parts.clear()
        # Per step: bool [B], whether a match ended with it.
        self._ended: list[Bools] = []
        self._closed: dict[tuple[str, str], list[Array]] = {}
        self._closings: list[tuple[Ints, Ints]] = []  # (step, match) after which a closing row comes

    def add_decisions(self, index: int, matches: Ints, agents: Ints, columns: dict[str, Array]) -> None:
        """Add observations and actions of a network's agents."""
        network = self._runner.networks[index]
        if len(matches) != len(self._all) * len(network.agents):
            raise ValueError(
                "algorithm.mixer: value decomposition needs agents that all act in every step, and here some do not; "
                "use algorithm=mappo"
            )
        for name in (Columns.OBS, Columns.ACTIONS, ACTION_MASK, MEMORY):
            if name in columns:
                self._note(self._parts, network.name, name, self._per_match(columns[name], len(network.agents)))
        # The state is of a match, not of a network: it is added once per step.
        if index == 0 and self._runner.config.mixer_class.needs_state:
            self._note(self._parts, TEAM, STATE, self._state(self._all))

    def add_step(self, step: Step, rewards: Array) -> None:
        """Add rewards and terminations, and a closing row to matches that were truncated."""
        self._note(self._parts, TEAM, Columns.REWARDS, rewards.mean(axis=1).astype(np.float32))
        ended = step.over
        # A match of which an agent was cut off goes on beyond its last step, as far as values are concerned.
        cut = step.truncated.any(axis=1) & self._runner.config.settings.bootstrap_truncated
        final = ended & ~cut
        self._note(self._parts, TEAM, Columns.TERMINATEDS, final.copy())
        self._ended.append(ended)
        self._close(np.flatnonzero(ended & ~final))

    def _close(self, matches: Ints) -> None:
        """Add a closing row to matches [K]: what their agents observe now."""
        if not len(matches):
            return
        for index, network in enumerate(self._runner.networks):
            # Rows sorted by match, then by agent, as `_per_match` needs them.
            rows, agents = matches.repeat(len(network.agents)), np.tile(network.agents, len(matches))
            seen, _ = self._runner.observe(index, rows, agents)
            mask = self._closing_mask(rows, agents)
            # No action follows a closing row: zeros stand in the column, and `CLOSING` marks the row.
            columns = {Columns.OBS: seen[Columns.OBS], Columns.ACTIONS: np.zeros(len(rows), np.int64)}
            for name, values in (columns if mask is None else {**columns, ACTION_MASK: mask}).items():
                self._note(self._closed, network.name, name, self._per_match(values, len(network.agents)))
        if self._runner.config.mixer_class.needs_state:
            self._note(self._closed, TEAM, STATE, self._state(matches))
        # The closing row comes after the step that was played last.
        self._closings.append((np.full(len(matches), len(self._ended) - 1), matches))

    def _closing_mask(self, matches: Ints, agents: Ints) -> Bools | None:
        """Return the legal actions of agents [R] in the last observations of matches [R]: bool [R, n], or None.

        An environment has masks of agents that must act. For those of a match that was cut off all actions count as
        legal.
        """
        env = self._runner.env
        acting = env.acting()[matches, agents]
        if acting.all():
            return env.action_mask(matches, agents)
        size = next(group.mask_size for group in env.groups if agents[0] in group.agents)
        legal = np.ones((len(agents), size), np.bool_)
        if acting.any():
            mask = env.action_mask(matches[acting], agents[acting])
            if mask is None:
                return None
            legal[acting] = mask
        # Without a mask in the steps before, the columns have none either.
        network = next(network for network in self._runner.networks if agents[0] in network.agents)
        return legal if (network.name, ACTION_MASK) in self._parts else None

    def pop_batches(self) -> tuple[Batches, int]:
        """Return the fragment as segments: LENGTHS [S], and the MEMORY [S, k, size] before each segment."""
        # 1. Close the matches that go on: their last step is bootstrapped from what is seen now.
        self._close(np.flatnonzero(~self._ended[-1]))
        # 2. Sort rows, T * B steps and the closing rows after them, into segments.
        ended = np.stack(self._ended)
        closings = [np.concatenate(part) for part in zip(*self._closings, strict=True)] or [np.zeros(0, np.int64)] * 2
        order, lengths = _segments(ended, *closings)
        # 3. Put the columns into this order. A memory is kept of the first row of each segment only; columns that
        # closing rows do not have (rewards, terminations) are 0 there.
        first = order[np.cumsum(lengths) - lengths]
        batches: Batches = {TEAM: {LENGTHS: lengths, CLOSING: order >= ended.size}}
        for (network, name), parts in self._parts.items():
            values = np.concatenate(parts)
            if name == MEMORY:
                values = values[first]
            else:
                after = self._closed.get((network, name))
                blank = np.zeros((len(closings[0]), *values.shape[1:]), values.dtype)
                values = np.concatenate([values, *(after or [blank])])[order]
            batches.setdefault(network, {})[name] = values
        rows = ended.size * len(self._runner.env.agents)
        self._restart()
        return batches, rows

    def _note(self, where: dict[tuple[str, str], list[Array]], network: str, name: str, values: Array) -> None:
        where.setdefault((network, name), []).append(values)

    def _per_match(self, values: Array, agents: int) -> Array:
        """Reshape rows that are sorted by match, then by agent, to [matches, agents, ...]."""
        return values.reshape(-1, agents, *values.shape[1:])

    def _state(self, matches: Ints) -> Array:
        return self._runner.central_state.states_for(matches, np.zeros_like(matches), self._runner.finished)


def _segments(ended: Bools, closed_steps: Ints, closed_matches: Ints) -> tuple[Ints, Ints]:
    """Return the order in which rows form segments, int64 [rows], and the lengths of the segments, int64 [S].

    ended: bool [T, B], whether a match ended with a step. Row t * B + b is step t of match b; after these T * B rows
    come the closing rows, each after a step of a match.
    """
    steps, matches = ended.shape
    # A match's place, and how many matches ended there before the step.
    segment = np.arange(matches) * (steps + 1) + np.cumsum(ended, axis=0) - ended
    step = np.broadcast_to(np.arange(steps)[:, None], ended.shape)
    segments = np.concatenate([segment.ravel(), segment[closed_steps, closed_matches]])
    order = np.lexsort((np.concatenate([step.ravel(), closed_steps + 1]), segments))
    return order, np.unique(segments[order], return_counts=True)[1]
