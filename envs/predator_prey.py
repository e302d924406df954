"""Predator-prey on a grid: two predators catch a prey together, and one that tries alone is punished.

The task of relative overgeneralization in Böhmer et al., "Deep coordination graphs" (2020): the punishment makes
catching look bad as long as partners do not join in, so that independent learners may never find out that it pays. (Son
et al., "QTRAN" (2019), have a similar game without an action for catching.) The rules are those of the authors' code,
with one kind of prey. Where we differ: observations and state have no channel for a second kind of prey, and a match
that runs out of time is truncated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from marl_app.envs.batched import Array, BatchedEnv, Bools, Floats, Group, Ints, Step
from marl_app.envs.legal import require_actions
from marl_app.envs.settings import require_field, require_integer, require_number

RIGHT, DOWN, LEFT, UP, STAY, CATCH = range(6)
NEEDED = 2
"""So many predators catch a prey."""


class PredatorPrey(BatchedEnv):
    """`num_matches` matches of one team of predators on a bounded grid, hunting prey that walks at random.

    field_size: [rows, columns]. predators, prey: how many. sight: how many rows and columns away a predator sees.
    max_cycles: time limit. reward: for a prey that is caught. penalty: >= 0, the price of a prey that a single predator
    tried to catch. All predators get what the team gets.

    Predators move one after the other, in random order, and stay where the way is blocked. Then prey by prey, in random
    order: it is caught if two or more predators beside it do `catch`, and leaves the grid with all of these; else it
    steps to a free cell beside it, if there is one. A match ends when all prey or all predators are gone.

    Observation int8 [2 sight + 1, 2 sight + 1, 2]: predators (the one that looks is in the middle) and prey; zeros for
    a predator that has left. Actions: 0 right, 1 down, 2 left, 3 up, 4 stay, 5 catch; moves off the grid and catching
    with no prey beside are not valid, and do nothing; who has left can only stay. State: the grid, cell by cell.
    """

    def __init__(
        self,
        num_matches: int,
        field_size: Sequence[int] = (10, 10),
        predators: int = 8,
        prey: int = 8,
        sight: int = 2,
        max_cycles: int = 200,
        reward: float = 10.0,
        penalty: float = 1.5,
    ) -> None:
        require_field("field_size", field_size, 1)
        rows, columns = field_size
        require_integer("predators", predators, NEEDED, rows * columns - 1)
        require_integer("prey", prey, 1, rows * columns - predators)
        require_integer("sight", sight, 1)
        require_integer("max_cycles", max_cycles, 1)
        require_number("reward", reward)
        require_number("penalty", penalty, 0)
        self.num_matches = num_matches
        self.agents = tuple(f"predator_{index}" for index in range(predators))
        self.sides = (tuple(range(predators)),)
        view = spaces.Box(0, 1, (2 * sight + 1, 2 * sight + 1, 2), np.int8)
        self.groups = (Group("predator", self.sides[0], view, spaces.Discrete(6)),)
        self.state_space = spaces.Box(0, 1, (rows * columns * 2,), np.float32)
        self._max_cycles, self._reward, self._penalty = max_cycles, reward, penalty
        self._steps: Ints = np.zeros(num_matches, np.int64)
        # The grid has a border as wide as the sight, in which nobody ever is. Cells are numbered in the whole of it.
        self._width, height = columns + 2 * sight, rows + 2 * sight
        self._moves: Ints = np.array([1, self._width, -1, -self._width, 0, 0])
        lines = np.arange(sight, sight + rows)[:, None]
        self._cells: Ints = (lines * self._width + np.arange(sight, sight + columns)).ravel()
        span = np.arange(-sight, sight + 1)
        self._window: Ints = (span[:, None] * self._width + span).ravel()
        # All matches in one row: match b begins at `_base[b]`. Channel 0 says where predators are, channel 1 prey.
        self._base: Ints = np.arange(num_matches) * height * self._width
        self._grid = np.zeros((num_matches * height * self._width, 2), np.int8)
        self._both: NDArray[np.uint16] = self._grid.view(np.uint16)[:, 0]  # both channels as one number
        self._inside = np.zeros(len(self._grid), np.bool_)
        self._inside[self._base[:, None] + self._cells] = True
        # Where they are in that row, and whether they are still on the grid.
        self.predators: Ints = np.zeros((num_matches, predators), np.int64)
        self.prey: Ints = np.zeros((num_matches, prey), np.int64)
        self.hunting = np.zeros((num_matches, predators), np.bool_)
        self.alive = np.zeros((num_matches, prey), np.bool_)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Put predators and prey of all or the given matches on random cells."""
        chosen = np.arange(self.num_matches) if matches is None else matches
        count = self.predators.shape[1]
        drawn = rng.random((len(chosen), len(self._cells))).argsort(axis=1)[:, : count + self.prey.shape[1]]
        self.place(chosen, self._cells[drawn[:, :count]], self._cells[drawn[:, count:]])

    def place(self, matches: Ints, predators: Ints, prey: Ints) -> None:
        """Start matches with everybody on given cells of the grid with its border: [K, predators] and [K, prey]."""
        base = self._base[matches][:, None]
        self._grid.reshape(self.num_matches, -1)[matches] = 0
        self.predators[matches], self.prey[matches] = base + predators, base + prey
        self._grid[base + predators, 0] = 1
        self._grid[base + prey, 1] = 1
        self.hunting[matches], self.alive[matches] = True, True
        self._steps[matches] = 0

    def acting(self) -> Bools:
        """Everybody, always: bool [B, predators]. Who has left stays, and still gets the team's reward."""
        return np.ones(self.hunting.shape, np.bool_)

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """What the predators see: int8 [R, 2 sight + 1, 2 sight + 1, 2], see the class."""
        # The border keeps the window inside the match.
        seen = self._both.take(self.predators[matches, agents][:, None] + self._window)
        seen *= self.hunting[matches, agents][:, None]
        return seen.view(np.int8).reshape(-1, *(self.groups[0].observation_space.shape))

    def action_mask(self, matches: Ints, agents: Ints) -> Bools:
        """Which actions are valid: bool [R, 6]. A step onto another one is; it just fails."""
        beside = self.predators[matches, agents][:, None] + self._moves[:4]
        mask = np.ones((len(matches), 6), np.bool_)
        mask[:, :4] = self._inside.take(beside)
        mask[:, CATCH] = self._grid[beside, 1].any(axis=1)
        mask &= self.hunting[matches, agents][:, None]
        mask[:, STAY] = True
        return mask

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Move predators, then catch or move prey; `actions` is one array int64 [B, predators].

        Raises ValueError for an action that is not one of 0..5.
        """
        require_actions("predator_prey", self, actions)
        self._move_predators(self._moves[actions[0]], rng.random(self.hunting.shape).argsort(axis=1))
        order = rng.random(self.alive.shape).argsort(axis=1)
        points = rng.random((*self.alive.shape, 4))
        team = self._catch_and_move_prey(actions[0] == CATCH, order, points)
        self._steps += 1
        terminated: Bools = ~np.logical_and(np.any(self.alive, axis=1), np.any(self.hunting, axis=1))
        truncated = (self._steps >= self._max_cycles) & ~terminated
        count = len(self.agents)
        rewards: Floats = np.repeat(team[:, None], count, axis=1).astype(np.float32)
        return Step(rewards, terminated, truncated, np.repeat(terminated[:, None], count, axis=1))

    def scores(self, matches: Ints) -> Floats:
        """One team: 0.5, float32 [K, 1]."""
        return np.full((len(matches), 1), 0.5, np.float32)

    def state(self, matches: Ints) -> Floats:
        """The grids without their borders: float32 [K, 2 cells]."""
        cells = self._base[matches][:, None] + self._cells
        state: Floats = self._grid[cells].reshape(len(matches), 2 * len(self._cells)).astype(np.float32)
        return state

    def _move_predators(self, moves: Ints, order: Ints) -> None:
        """Move predators by `moves` [B, predators], those first who are first in `order` [B, predators]."""
        rows = np.arange(self.num_matches)
        for turn in range(order.shape[1]):
            predator = order[:, turn]
            here = self.predators[rows, predator]
            target = here + moves[rows, predator]
            goes = (self.hunting[rows, predator] & self._free(target)).nonzero()[0]
            self._grid[here[goes], 0] = 0
            self._grid[target[goes], 0] = 1
            self.predators[goes, predator[goes]] = target[goes]

    def _catch_and_move_prey(self, catching: Bools, order: Ints, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Prey by prey, in `order` [B, prey]: caught, or moved to the free cell with most `points` [B, prey, 4].

        Returns the team's reward, [B].
        """
        rows, team = np.arange(self.num_matches), np.zeros(self.num_matches)
        for turn in range(order.shape[1]):
            prey = order[:, turn]
            here, alive = self.prey[rows, prey], self.alive[rows, prey]
            apart = np.abs(self.predators - here[:, None])
            trying = ((apart == 1) | (apart == self._width)) & catching & self.hunting & alive[:, None]
            count = trying.sum(axis=1)
            caught = count >= NEEDED
            team += np.where(caught, self._reward, np.where(count > 0, -self._penalty, 0.0))
            self._remove(caught, prey, trying)
            targets = here[:, None] + self._moves[:4]
            chance = np.where(self._free(targets), points[rows, prey], -1)
            best = chance.argmax(axis=1)
            goes = (alive & ~caught & (chance[rows, best] >= 0)).nonzero()[0]
            new = targets[goes, best[goes]]
            self._grid[here[goes], 1] = 0
            self._grid[new, 1] = 1
            self.prey[goes, prey[goes]] = new
        return team

    def _remove(self, caught: Bools, prey: Ints, trying: Bools) -> None:
        """Take prey off the grid where `caught` [B], `prey` [B] of each match, with all who tried [B, predators]."""
        matches = caught.nonzero()[0]
        self._grid[self.prey[matches, prey[matches]], 1] = 0
        self.alive[matches, prey[matches]] = False
        gone = trying & caught[:, None]
        self._grid[self.predators[gone], 0] = 0
        self.hunting &= ~gone

    def _free(self, cells: Ints) -> Bools:
        """Whether cells are on the grid, and empty."""
        free: Bools = self._inside.take(cells) & (self._both.take(cells) == 0)
        return free
