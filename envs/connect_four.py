"""Connect Four on bitboards: a step of all matches is a few uint64 operations.

A board is a 64-bit word with seven bits per column: six cells from the bottom up and a guard bit that stays empty, so
that a shift never joins discs of one column with those of the next (John Tromp's layout):

     6 13 20 27 34 41 48      <- guard bits
     5 12 19 26 33 40 47      <- top row
     ...
     0  7 14 21 28 35 42      <- bottom row

Four in a row in one direction is `b & b>>d & b>>2d & b>>3d` != 0 with d = 1 (up), 7 (right), 6 and 8 (diagonals).

Moves, spaces, observations and rewards are those of PettingZoo's `connect_four_v3`. Where we differ: an illegal move is
an error here, and loses the match in PettingZoo.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from marl_app.envs.batched import Array, BatchedEnv, Bools, Float32s, Group, Ints, Openings, Step
from marl_app.envs.board import NO_ACTION, NO_PIECE, Board
from marl_app.envs.placement import Placement, lines_on_board
from marl_app.envs.solved import SolvedPosition
from marl_app.envs.symmetries import Symmetries

Words = NDArray[np.uint64]

ROWS, COLUMNS = 6, 7
_BOTTOM: Words = np.array([1 << 7 * column for column in range(COLUMNS)], np.uint64)
_TOP: Words = _BOTTOM << np.uint64(ROWS - 1)
_CELLS: Words = _BOTTOM * np.uint64((1 << ROWS) - 1)  # the six cells of each column, without the guard bit
_FULL = np.bitwise_or.reduce(_CELLS)
# (d, 2 d): `pairs = b & b>>d` marks the lower of two neighbors, `pairs & pairs>>2d` the lowest of four.
_DIRECTIONS = [(np.uint64(shift), np.uint64(2 * shift)) for shift in (1, 6, 7, 8)]
_ZERO = np.uint64(0)

# int64 [6 * 7 * 2]: for each entry of an observation its bit among the 128 bits of two boards (the agent's, then the
# opponent's). Boards count rows from the bottom, observations from the top.
_OBSERVED_BITS: Ints = np.array(
    [64 * plane + 7 * column + ROWS - 1 - row for row in range(ROWS) for column in range(COLUMNS) for plane in (0, 1)]
)

_ENTRIES, _COLUMN_NUMBERS = np.arange(ROWS * COLUMNS * 2).reshape(ROWS, COLUMNS, 2), np.arange(COLUMNS)
_MIRROR = Symmetries.from_arrays([_ENTRIES, _ENTRIES[:, ::-1]], [_COLUMN_NUMBERS, _COLUMN_NUMBERS[::-1]])
# A disc falls to the lowest empty cell of its column, whose cells are listed from the bottom up.
_PLACEMENT = Placement.from_arrays(
    np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)[::-1].T, lines_on_board(ROWS, COLUMNS, length=4)
)
_SOLVED = Path(__file__).with_name("connect_four_solved.txt")
_VALUES = {"W": 1, "D": 0, "L": -1}  # the letters of that file


def has_four(boards: Words) -> Bools:
    """Return whether a board has four discs in a row: uint64 [N] -> bool [N]."""
    found: Words = np.zeros_like(boards)
    for shift, double in _DIRECTIONS:
        pairs = boards & (boards >> shift)
        found |= pairs & (pairs >> double)
    four: Bools = found != _ZERO
    return four


class ConnectFour(BatchedEnv):
    """`num_matches` games of Connect Four; `player_0` moves first.

    Observation int8 [6, 7, 2]: plane 0 holds the discs of the agent, plane 1 of the opponent; row 0 is the top row.
    Action: the column, 0 to 6. Reward +1 to the winner and -1 to the loser of the last move, else 0.
    """

    agents = ("player_0", "player_1")
    groups = (
        Group(
            *("player", (0, 1), spaces.Box(0, 1, (ROWS, COLUMNS, 2), np.int8), spaces.Discrete(COLUMNS)),
            symmetries=_MIRROR,
            placement=_PLACEMENT,
        ),
    )
    sides = ((0,), (1,))
    openspiel_game = "connect_four"

    def __init__(self, num_matches: int, openings: Openings | None = None) -> None:
        self.num_matches = num_matches
        self.openings = openings
        self._rows = np.arange(num_matches)
        # uint64 [B]: the discs of the agent to move, and of both agents. With the mover's board instead of a board per
        # agent, `step` needs no branch on whose turn it is; the other board is `_occupied ^ _mover_discs`.
        self._mover_discs: Words = np.zeros(num_matches, np.uint64)
        self._occupied: Words = np.zeros(num_matches, np.uint64)
        self._mover: Ints = np.zeros(num_matches, np.int64)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Empty the boards of all or the given matches; `rng` is not used."""
        chosen = slice(None) if matches is None else matches
        self._mover_discs[chosen] = 0
        self._occupied[chosen] = 0
        self._mover[chosen] = 0

    def acting(self) -> Bools:
        """Return who is to move: bool [B, 2]."""
        acting: Bools = self._mover[:, None] == np.arange(2)
        return acting

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """Return the observations of the agents: int8 [R, 6, 7, 2], see the class."""
        mover, occupied = self._mover_discs[matches], self._occupied[matches]
        both = np.empty((len(matches), 2), np.uint64)  # [R, 2]: the boards of the agent and of its opponent
        both[:, 0] = np.where(self._mover[matches] == agents, mover, occupied ^ mover)
        both[:, 1] = occupied ^ both[:, 0]
        # "<u8" fixes the order of the bytes, and so of the unpacked bits, on any machine. bits: uint8 [R, 128].
        bits = np.unpackbits(both.astype("<u8", copy=False).view(np.uint8), axis=1, bitorder="little")
        return bits.take(_OBSERVED_BITS, axis=1).view(np.int8).reshape(-1, ROWS, COLUMNS, 2)

    def action_mask(self, matches: Ints, agents: Ints) -> Bools:
        """Return which columns are not full: bool [R, 7]."""
        free: Bools = (self._occupied[matches, None] & _TOP) == _ZERO
        return free

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Drop one disc per match; `actions` is one array int64 [B, 2].

        Raises ValueError for a column that is full or not on the board.
        """
        disc = self._drop(actions[0][self._rows, self._mover])
        moved = self._mover_discs | disc
        won = has_four(moved)
        rewards = np.zeros((self.num_matches, 2), np.float32)
        rewards[self._rows, self._mover] = won
        rewards[self._rows, 1 - self._mover] = -won.astype(np.float32)
        # The opponent moves next. Its discs are those before this move that were not the mover's: `_occupied` does not
        # have the new disc yet.
        self._mover_discs ^= self._occupied
        self._occupied |= disc
        self._mover ^= 1
        terminated = won | (self._occupied == _FULL)
        truncated = np.zeros(self.num_matches, np.bool_)
        return Step.of_matches(rewards, terminated, truncated)

    def scores(self, matches: Ints) -> Float32s:
        """Return the scores, float32 [K, 2]: 1 for four in a row, 0 for the other side, 0.5 for a full board."""
        mover = self._mover_discs[matches]
        # 1 if the agent to move has won, -1 if its opponent has, 0 for a draw.
        lead = has_four(mover).astype(np.float32) - has_four(self._occupied[matches] ^ mover)
        first = 0.5 + 0.5 * np.where(self._mover[matches] == 0, lead, -lead)
        return np.stack([first, 1 - first], axis=1)

    def render(self, match: int, agent: int | None = None) -> Board:
        """Return the board; all cells of a column stand for its action."""
        mover = int(self._mover[match])
        # [6, 7, 2]: discs of the agent to move, and of the other one
        discs = self.observe(np.array([match]), np.array([mover]))[0].astype(np.bool_)
        pieces = np.where(discs[..., 0], mover, np.where(discs[..., 1], 1 - mover, NO_PIECE))
        over = bool(has_four(self._occupied[[match]] ^ self._mover_discs[[match]])[0])
        legal = self.action_mask(np.array([match]), np.array([mover]))[0] & ~over
        actions = np.where(legal, _COLUMN_NUMBERS, NO_ACTION)
        labels = tuple(str(column + 1) for column in range(COLUMNS))
        return Board(pieces, np.broadcast_to(actions, pieces.shape), labels)

    def action_name(self, match: int, agent: int, action: Any, viewer: int | None = None) -> str:
        """Return the number of the column, from 1."""
        return str(int(action) + 1)

    def solved_positions(self) -> Sequence[SolvedPosition]:
        """Return 500 positions of 8 to 24 random moves, with values from a perfect solver."""
        return _read_solved()

    def _drop(self, columns: Ints) -> Words:
        """Return the cell that the disc of each match falls into, as a board with a single bit: uint64 [B].

        Raises ValueError for a column that is full or not on the board.
        """
        legal = (columns >= 0) & (columns < COLUMNS)
        column = np.where(legal, columns, 0)
        # Discs fill a column from the bottom without gaps, so adding its bottom bit carries into the first empty cell,
        # and in a full column into the guard bit, which `_CELLS` masks out: then `disc` is 0.
        disc: Words = (self._occupied + _BOTTOM[column]) & _CELLS[column]
        legal &= disc != _ZERO
        if not legal.all():
            match = int(np.argmin(legal))
            raise ValueError(
                f"connect_four: illegal action {columns[match]} in match {match}: "
                f"the column is {'full' if 0 <= columns[match] < COLUMNS else f'not one of 0..{COLUMNS - 1}'}"
            )
        return disc


@cache
def _read_solved() -> tuple[SolvedPosition, ...]:
    """Return the positions of the file, whose first lines say what the others are."""
    lines = [line.split() for line in _SOLVED.read_text(encoding="ascii").splitlines() if not line.startswith("#")]
    return tuple(
        SolvedPosition(
            tuple(map(int, moves)),
            {column: _VALUES[letter] for column, letter in enumerate(letters) if letter != "."},
        )
        for moves, letters in lines
    )
