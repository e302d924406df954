"""One-shot simultaneous games of two players, given as a payoff table in YAML.

The smallest games in which a league helps: in rock-paper-scissors every pure strategy is beaten by another, so
self-play against the latest opponent cycles, and only a mixture is safe.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Float32s, Group, Ints, Step, scores_from_returns


class MatrixGame(BatchedEnv):
    """`num_matches` plays of a matrix game: both agents choose one action, see their payoffs, and the match is over.

    payoff: nested lists [n][m]: the payoff of the row player (`player_0`), which the column player (`player_1`) loses;
        or [n][m][2]: the payoffs of both players.
    cooperative: both agents are one side, and both get the entry of a table [n][m].

    Observation: a constant zero, float32 [1]. Actions: the row, 0 to n-1, and the column, 0 to m-1. With n = m both
    agents form one group, otherwise `row` and `column`. Raises ValueError for a table of another shape.
    """

    agents = ("player_0", "player_1")
    payoffs: Float32s
    """The payoffs of both agents for each pair of actions: float32 [n, m, 2]."""

    def __init__(
        self, num_matches: int, payoff: Sequence[Sequence[float | Sequence[float]]], cooperative: bool = False
    ) -> None:
        self.num_matches = num_matches
        self.payoffs = _as_table(payoff, cooperative)
        self.sides = ((0, 1),) if cooperative else ((0,), (1,))
        # Zero-sum scores depend on the size of the payoff. A table of zeros has no stake: every match is a draw.
        zero_sum = not cooperative and not self.payoffs.sum(axis=2).any()
        self.stake = (float(np.abs(self.payoffs).max()) or None) if zero_sum else None
        rows, columns = self.payoffs.shape[:2]
        observation_space = spaces.Box(0.0, 0.0, (1,), np.float32)
        # The contract groups agents by spaces: with n = m both have the same.
        if rows == columns:
            self.groups = (Group("player", (0, 1), observation_space, spaces.Discrete(rows)),)
        else:
            self.groups = (
                Group("row", (0,), observation_space, spaces.Discrete(rows)),
                Group("column", (1,), observation_space, spaces.Discrete(columns)),
            )
        self._returns: Float32s = np.zeros((num_matches, 2), np.float32)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Start all or the given matches; `rng` is not used."""
        self._returns[slice(None) if matches is None else matches] = 0

    def acting(self) -> Bools:
        """Return True for both agents: bool [B, 2]."""
        return np.ones((self.num_matches, 2), np.bool_)

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """Return zeros, float32 [R, 1]: the agents observe nothing."""
        return np.zeros((len(matches), 1), np.float32)

    def action_mask(self, matches: Ints, agents: Ints) -> None:
        """Return None: every action is always legal."""
        return None

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Pay both; `actions` is one array int64 [B, 2], or two [B, 1]. Raises ValueError for an illegal action."""
        chosen = np.concatenate(actions, axis=1)  # int64 [B, 2]: row, column
        illegal = ((chosen < 0) | (chosen >= self.payoffs.shape[:2])).nonzero()
        if illegal[0].size:
            match, agent = illegal[0][0], illegal[1][0]
            raise ValueError(
                f"matrix_game: illegal action {chosen[match, agent]} of {self.agents[agent]} in match {match}: "
                f"not one of 0..{self.payoffs.shape[agent] - 1}"
            )
        # [B, 2]: a match is one step, so its return is the payoff.
        self._returns = self.payoffs[chosen[:, 0], chosen[:, 1]]
        terminated = np.ones(self.num_matches, np.bool_)
        return Step.of_matches(self._returns.copy(), terminated, ~terminated)

    def scores(self, matches: Ints) -> Float32s:
        """Return the scores, float32 [K, sides]: in zero-sum games 0.5 + payoff / (2 * largest payoff of the table).

        Otherwise 1 for the higher payoff and 0.5 each for equal payoffs; always 0.5 for a team.
        """
        return scores_from_returns(self._returns[matches], self.sides, self.stake)

    def render(self, match: int, agent: int | None = None) -> str:
        """Return the payoffs as a table: rows are actions of the row player, columns of the column player."""
        lines = ["payoffs of player_0, player_1 for the action of player_0 (row) and player_1 (column)"]
        cells = [[f"{first:g}, {second:g}" for first, second in row] for row in self.payoffs.tolist()]
        width = max(len(cell) for row in cells for cell in row)
        lines.append("   " + "  ".join(str(column).rjust(width) for column in range(len(cells[0]))))
        lines += [f"{row}  " + "  ".join(cell.rjust(width) for cell in line) for row, line in enumerate(cells)]
        return "\n".join(lines)


def _as_table(payoff: Sequence[Sequence[float | Sequence[float]]], cooperative: bool) -> Float32s:
    """Return the payoffs of both players, float32 [n, m, 2]. Raises ValueError if `payoff` is no such table."""
    try:
        table = np.array(payoff, np.float32)
    except (TypeError, ValueError):  # rows of different lengths, or entries that are not numbers
        table = np.zeros(0, np.float32)
    # One payoff per cell: a team gets it together, opponents win and lose it.
    if table.ndim == 2:
        table = np.stack([table, table if cooperative else -table], axis=2)
    if table.ndim != 3 or table.shape[2] != 2 or table.size == 0 or not np.isfinite(table).all():
        raise ValueError("env.payoff must be a table of finite numbers [n][m], or of pairs [n][m][2] if not zero-sum")
    return table
