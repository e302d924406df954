"""Connect Four on bitboards: all matches are a few uint64 operations per step.

A board is one 64-bit word, seven bits per column: six cells from the bottom up and one guard bit that stays empty, so
that a shift can never carry a line of discs from one column into the next (John Tromp's layout):

     6 13 20 27 34 41 48      <- guard bits
     5 12 19 26 33 40 47      <- top row
     ...
     0  7 14 21 28 35 42      <- bottom row

Four in a row in one direction is `b & b>>d & b>>2d & b>>3d` with d = 1 (up), 7 (right), 6 and 8 (the diagonals).

Same moves, spaces, observations and rewards as PettingZoo's `connect_four_v3`, except that an illegal move is an error
here and a lost match there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from marl_app.envs.batched import Array, BatchedEnv, Bools, Floats, Group, Ints, Openings, Step

Words = NDArray[np.uint64]

ROWS, COLUMNS = 6, 7
_BOTTOM: Words = np.array([1 << 7 * column for column in range(COLUMNS)], np.uint64)
_TOP: Words = _BOTTOM << np.uint64(ROWS - 1)
_CELLS: Words = _BOTTOM * np.uint64((1 << ROWS) - 1)  # the six cells of each column, without the guard bit
_FULL = np.bitwise_or.reduce(_CELLS)
_DIRECTIONS = [(np.uint64(shift), np.uint64(2 * shift)) for shift in (1, 6, 7, 8)]
_ZERO = np.uint64(0)

# Where each of the 6 x 7 x 2 entries of an observation is among the 128 bits (own word, other word); row 0 is the top.
_OBSERVED_BITS: Ints = np.array(
    [64 * plane + 7 * column + ROWS - 1 - row for row in range(ROWS) for column in range(COLUMNS) for plane in (0, 1)]
)


def has_four(boards: Words) -> Bools:
    """Whether four discs of a board are in a row: uint64 [N] -> bool [N]."""
    found: Words = np.zeros_like(boards)
    for shift, double in _DIRECTIONS:
        pairs = boards & (boards >> shift)
        found |= pairs & (pairs >> double)
    four: Bools = found != _ZERO
    return four


class ConnectFour(BatchedEnv):
    """`num_matches` games of Connect Four; `player_0` moves first.

    Observation int8 [6, 7, 2]: plane 0 holds the agent's own discs, plane 1 the other's; row 0 is the top row.
    Action: the column, 0 to 6. Reward +1 to the winner and -1 to the loser of the last move, else 0.
    """

    agents = ("player_0", "player_1")
    groups = (Group("player", (0, 1), spaces.Box(0, 1, (ROWS, COLUMNS, 2), np.int8), spaces.Discrete(COLUMNS)),)
    sides = ((0,), (1,))
    openspiel_game = "connect_four"

    def __init__(self, num_matches: int, openings: Openings | None = None) -> None:
        self.num_matches = num_matches
        self.openings = openings
        self._rows = np.arange(num_matches)
        # The discs of the agent to move, rather than a board per agent: then no step has to ask whose turn it is.
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
        """Who is to move: bool [B, 2]."""
        acting: Bools = self._mover[:, None] == np.arange(2)
        return acting

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """What the agents see: int8 [R, 6, 7, 2], see the class."""
        mover, occupied = self._mover_discs[matches], self._occupied[matches]
        both = np.empty((len(matches), 2), np.uint64)
        both[:, 0] = np.where(self._mover[matches] == agents, mover, occupied ^ mover)
        both[:, 1] = occupied ^ both[:, 0]
        # "<u8" fixes the order of the bytes, and so of the unpacked bits, on any machine.
        bits = np.unpackbits(both.astype("<u8", copy=False).view(np.uint8), axis=1, bitorder="little")
        return bits.take(_OBSERVED_BITS, axis=1).view(np.int8).reshape(-1, ROWS, COLUMNS, 2)

    def action_mask(self, matches: Ints, agents: Ints) -> Bools:
        """Which columns are not full: bool [R, 7]."""
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
        self._mover_discs ^= self._occupied  # the other agent's discs: it moves next
        self._occupied |= disc
        self._mover ^= 1
        terminated = won | (self._occupied == _FULL)
        truncated = np.zeros(self.num_matches, np.bool_)
        return Step(rewards, terminated, truncated, np.stack([terminated, terminated], axis=1))

    def scores(self, matches: Ints) -> Floats:
        """Scores, float32 [K, 2]: 1 for four in a row, 0 for the other side, 0.5 for a full board."""
        own = self._mover_discs[matches]
        lead = has_four(own).astype(np.float32) - has_four(self._occupied[matches] ^ own)  # of the agent to move
        first = 0.5 + 0.5 * np.where(self._mover[matches] == 0, lead, -lead)
        return np.stack([first, 1 - first], axis=1)

    def _drop(self, columns: Ints) -> Words:
        """The cell (one bit) that each match's disc falls into."""
        legal = (columns >= 0) & (columns < COLUMNS)
        column = np.where(legal, columns, 0)
        # Adding a column's bottom bit to its discs carries to the first empty cell; in a full column to the guard bit.
        disc: Words = (self._occupied + _BOTTOM[column]) & _CELLS[column]
        legal &= disc != _ZERO
        if not legal.all():
            match = int(np.argmin(legal))
            raise ValueError(
                f"connect_four: illegal action {columns[match]} in match {match}: "
                f"the column is {'full' if 0 <= columns[match] < COLUMNS else f'not one of 0..{COLUMNS - 1}'}"
            )
        return disc
