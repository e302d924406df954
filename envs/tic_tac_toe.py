"""Tic-tac-toe: all matches as one array of cells. A tiny game with a known value (a draw), for tests and first runs.

Moves, spaces, observations and rewards are those of PettingZoo's `tictactoe_v3`. Where we differ: an illegal move is an
error here, and loses the match in PettingZoo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Float32s, Group, Ints, Openings, Step
from marl_app.envs.board import NO_ACTION, NO_PIECE, Board
from marl_app.envs.placement import Placement
from marl_app.envs.solved import SolvedPosition
from marl_app.envs.symmetries import Symmetries

# PettingZoo numbers the cells column by column and OpenSpiel row by row. Transposing the board maps rows to columns and
# each diagonal to itself, so the same action ids give the same lines, and the same winners, in both.
_LINES: Ints = np.array([(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)])
_LINE_SETS = [sum(1 << cell for cell in line) for line in _LINES.tolist()]  # sets of cells as the bits of an int


def _square_symmetries() -> Symmetries:
    """Return the eight symmetries of the square: four rotations, of the board and of its transpose."""
    entries, cells = np.arange(18).reshape(3, 3, 2), np.arange(9).reshape(3, 3)
    boards = [(entries, cells), (entries.transpose(1, 0, 2), cells.T)]
    views = [(np.rot90(e, turns), np.rot90(c, turns)) for e, c in boards for turns in range(4)]
    return Symmetries.from_arrays(*zip(*views, strict=True))


class TicTacToe(BatchedEnv):
    """`num_matches` games of tic-tac-toe; `player_1` moves first (PettingZoo counts from 1 in this game).

    Observation int8 [3, 3, 2]: plane 0 holds the marks of the agent, plane 1 of the opponent.
    Action: the cell, 0 to 8. Reward +1 to the winner and -1 to the loser of the last move, else 0.
    """

    agents = ("player_1", "player_2")
    groups = (
        Group(
            *("player", (0, 1), spaces.Box(0, 1, (3, 3, 2), np.int8), spaces.Discrete(9)),
            symmetries=_square_symmetries(),
            placement=Placement.from_arrays(np.arange(9)[:, None], _LINES),
        ),
    )
    sides = ((0,), (1,))
    openspiel_game = "tic_tac_toe"

    def __init__(self, num_matches: int, openings: Openings | None = None) -> None:
        self.num_matches = num_matches
        self.openings = openings
        self._rows = np.arange(num_matches)
        self._marks = np.zeros((num_matches, 2, 9), np.bool_)  # [B, agents, cells]
        self._mover: Ints = np.zeros(num_matches, np.int64)  # [B]: the agent to move

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Empty the boards of all or the given matches; `rng` is not used."""
        chosen = slice(None) if matches is None else matches
        self._marks[chosen] = False
        self._mover[chosen] = 0

    def acting(self) -> Bools:
        """Return who is to move: bool [B, 2]."""
        acting: Bools = self._mover[:, None] == np.arange(2)
        return acting

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """Return the observations of the agents: int8 [R, 3, 3, 2], see the class."""
        agent, opponent = self._marks[matches, agents], self._marks[matches, 1 - agents]  # bool [R, 9] each
        return np.stack([agent, opponent], axis=2).view(np.int8).reshape(-1, 3, 3, 2)

    def action_mask(self, matches: Ints, agents: Ints) -> Bools:
        """Return which cells are empty: bool [R, 9]."""
        taken: Bools = np.any(self._marks[matches], axis=1)
        return ~taken

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Set one mark per match; `actions` is one array int64 [B, 2].

        Raises ValueError for a cell that is taken or not on the board.
        """
        cells = actions[0][self._rows, self._mover]
        self._check(cells)
        self._marks[self._rows, self._mover, cells] = True
        won = self._has_line()[self._rows, self._mover]
        rewards = np.zeros((self.num_matches, 2), np.float32)
        rewards[self._rows, self._mover] = won
        rewards[self._rows, 1 - self._mover] = -won.astype(np.float32)
        self._mover ^= 1
        terminated = won | np.all(np.any(self._marks, axis=1), axis=1)
        truncated = np.zeros(self.num_matches, np.bool_)
        return Step.of_matches(rewards, terminated, truncated)

    def scores(self, matches: Ints) -> Float32s:
        """Return the scores, float32 [K, 2]: 1 for a line, 0 for the other side, 0.5 for a full board."""
        line = self._has_line()[matches].astype(np.float32)
        return 0.5 + 0.5 * (line - line[:, ::-1])

    def render(self, match: int, agent: int | None = None) -> Board:
        """Return the board; PettingZoo's cells go down the columns."""
        first, second = self._marks[match].reshape(2, 3, 3).transpose(0, 2, 1)  # bool [rows, columns] each
        pieces = np.where(first, 0, np.where(second, 1, NO_PIECE))
        playable = (pieces == NO_PIECE) & ~self._has_line()[match].any()
        return Board(pieces, np.where(playable, np.arange(9).reshape(3, 3).T, NO_ACTION), ("a", "b", "c"), tuple("123"))

    def action_name(self, match: int, agent: int, action: Any, viewer: int | None = None) -> str:
        """Return column and row of the cell: a1 to c3, from the top left."""
        column, row = divmod(int(action), 3)
        return f"{'abc'[column]}{row + 1}"

    def solved_positions(self) -> Sequence[SolvedPosition]:
        """Return all positions in which a mistake is possible, solved by minimax."""
        return _solve()

    def _has_line(self) -> Bools:
        """Return which agents have three in a row: bool [B, 2]."""
        # [B, agents, lines, 3 cells] -> all cells of a line -> any line.
        line: Bools = np.any(np.all(self._marks[:, :, _LINES], axis=3), axis=2)
        return line

    def _check(self, cells: Ints) -> None:
        legal = (cells >= 0) & (cells < 9)
        # Cells off the board are looked up as cell 0; `legal` is False for them already.
        legal &= ~np.any(self._marks[self._rows, :, np.where(legal, cells, 0)], axis=1)
        if not legal.all():
            match = int(np.argmin(legal))
            raise ValueError(
                f"tic_tac_toe: illegal action {cells[match]} in match {match}: "
                f"the cell is {'taken' if 0 <= cells[match] < 9 else 'not one of 0..8'}"
            )


@cache
def _solve() -> tuple[SolvedPosition, ...]:
    """Return each position in which a mistake is possible once, with the first moves found that lead to it."""
    solved = []
    # Positions after the same number of moves, (cells of the agent to move, of the other agent) -> moves.
    front: dict[tuple[int, int], tuple[int, ...]] = {(0, 0): ()}
    while front:
        later: dict[tuple[int, int], tuple[int, ...]] = {}
        for (mover, other), moves in front.items():
            values = _minimax(mover, other)
            if len(set(values.values())) > 1:
                solved.append(SolvedPosition(moves, values))
            for cell in values:
                if not _is_won(mover | 1 << cell):
                    later.setdefault((other, mover | 1 << cell), (*moves, cell))
        front = later
    return tuple(solved)


@cache
def _minimax(mover: int, other: int) -> Mapping[int, int]:
    """Return the value of marking each empty cell for the agent to move: 1 win, 0 draw, -1 loss."""
    empty = [cell for cell in range(9) if not (mover | other) >> cell & 1]
    marked = {cell: mover | 1 << cell for cell in empty}
    return {
        # If the mark does not win, the best reply decides; without an empty cell left it is a draw.
        cell: 1 if _is_won(cells) else -max(_minimax(other, cells).values(), default=0)
        for cell, cells in marked.items()
    }


def _is_won(cells: int) -> bool:
    return any(cells & line == line for line in _LINE_SETS)
