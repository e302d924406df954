"""One-shot simultaneous games of two players, given as a payoff table in YAML.

The smallest games in which a league shows what it is for: in rock-paper-scissors every pure strategy is beaten by
another, so self-play against the latest opponent goes round in circles and only a mixture is safe.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Floats, Group, Ints, Step, scores_from_returns


class MatrixGame(BatchedEnv):
    """`num_matches` plays of a matrix game: both agents choose one action, see their payoffs, and the match is over.

    payoff: nested lists [n][m]: what the row player (`player_0`) gets, and the column player (`player_1`) loses;
        or [n][m][2]: what each of them gets.
    cooperative: both agents are one side, and both get what a table [n][m] says.

    Observation: a constant zero, float32 [1]. Actions: the row, 0 to n-1, and the column, 0 to m-1. With n = m both
    agents form one group, otherwise `row` and `column`. Raises ValueError for a table of another shape.
    """

    agents = ("player_0", "player_1")
    payoffs: Floats
    """What each of them gets for each pair of actions: float32 [n, m, 2]."""

    def __init__(
        self, num_matches: int, payoff: Sequence[Sequence[float | Sequence[float]]], cooperative: bool = False
    ) -> None:
        self.num_matches = num_matches
        self.payoffs = _as_table(payoff, cooperative)
        self.sides = ((0, 1),) if cooperative else ((0,), (1,))
        zero_sum = not cooperative and not self.payoffs.sum(axis=2).any()
        self.stake = (float(np.abs(self.payoffs).max()) or None) if zero_sum else None
        rows, columns = self.payoffs.shape[:2]
        observation_space = spaces.Box(0.0, 0.0, (1,), np.float32)
        if rows == columns:
            self.groups = (Group("player", (0, 1), observation_space, spaces.Discrete(rows)),)
        else:
            self.groups = (
                Group("row", (0,), observation_space, spaces.Discrete(rows)),
                Group("column", (1,), observation_space, spaces.Discrete(columns)),
            )
        self._returns: Floats = np.zeros((num_matches, 2), np.float32)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Start all or the given matches; `rng` is not used."""
        self._returns[slice(None) if matches is None else matches] = 0

    def acting(self) -> Bools:
        """Both agents, always: bool [B, 2]."""
        return np.ones((self.num_matches, 2), np.bool_)

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """Nothing to see: zeros, float32 [R, 1]."""
        return np.zeros((len(matches), 1), np.float32)

    def action_mask(self, matches: Ints, agents: Ints) -> None:
        """Every action is always legal: None."""
        return None

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Pay out; `actions` is one array int64 [B, 2], or two [B, 1]. Raises ValueError for an unknown action."""
        chosen = np.concatenate(actions, axis=1)
        illegal = ((chosen < 0) | (chosen >= self.payoffs.shape[:2])).nonzero()
        if illegal[0].size:
            match, agent = illegal[0][0], illegal[1][0]
            raise ValueError(
                f"matrix_game: illegal action {chosen[match, agent]} of {self.agents[agent]} in match {match}: "
                f"not one of 0..{self.payoffs.shape[agent] - 1}"
            )
        self._returns = self.payoffs[chosen[:, 0], chosen[:, 1]]
        terminated = np.ones(self.num_matches, np.bool_)
        return Step(self._returns.copy(), terminated, ~terminated, np.ones((self.num_matches, 2), np.bool_))

    def scores(self, matches: Ints) -> Floats:
        """Scores, float32 [K, sides]: if zero-sum 0.5 + payoff / (2 * the largest in the table).

        Otherwise 1 for the higher payoff, 0.5 each for equal ones; and 0.5 for a team.
        """
        return scores_from_returns(self._returns[matches], self.sides, self.stake)


def _as_table(payoff: Sequence[Sequence[float | Sequence[float]]], cooperative: bool) -> Floats:
    """The payoffs of both players, float32 [n, m, 2]."""
    try:
        table = np.array(payoff, np.float32)
    except (TypeError, ValueError):  # rows of different lengths, or entries that are not numbers
        table = np.zeros(0, np.float32)
    if table.ndim == 2:
        table = np.stack([table, table if cooperative else -table], axis=2)
    if table.ndim != 3 or table.shape[2] != 2 or table.size == 0 or not np.isfinite(table).all():
        raise ValueError("env.payoff must be a table of finite numbers [n][m], or of pairs [n][m][2] if not zero-sum")
    return table
