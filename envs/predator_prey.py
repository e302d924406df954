"""Predator-prey on a grid: two predators catch a prey together; a predator that tries alone is punished.

The relative overgeneralization task of Böhmer et al., "Deep coordination graphs" (2020): while partners do not join in,
the punishment lowers the estimated value of catching, so that independent learners may never learn that it pays. (Son
et al., "QTRAN" (2019), have a similar game without a catch action.) The rules are those of the authors' code, with one
kind of prey. Where we differ: observations and state have no channel for a second kind of prey, and a match that
reaches the time limit is truncated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from marl_app.envs.batched import Array, BatchedEnv, Bools, Float32s, Group, Ints, Step
from marl_app.envs.grid import grid_text
from marl_app.envs.legal import require_actions
from marl_app.envs.settings import require_field, require_integer, require_number

RIGHT, DOWN, LEFT, UP, STAY, CATCH = range(6)
CATCHERS_NEEDED = 2
"""Predators that must catch a prey together."""


class PredatorPrey(BatchedEnv):
    """`num_matches` matches of one team of predators on a bounded grid, hunting prey that walks at random.

    field_size: [rows, columns]. predators, prey: numbers of each. sight: rows and columns seen in each direction.
    max_cycles: time limit. reward: paid for each caught prey. penalty: >= 0, charged for each prey that a single
    predator tried to catch. Every predator gets the reward of the team.

    Predators move one after the other, in random order, and stay where the way is blocked. Then each prey, in random
    order: if two or more adjacent predators play `catch`, it is caught and leaves the grid together with them; else it
    moves to a random free adjacent cell, if it has any. A match ends when all prey or all predators have left.

    Observation int8 [2 sight + 1, 2 sight + 1, 2]: predators (the observer in the middle) and prey; zeros for a
    predator that has left. Actions: 0 right, 1 down, 2 left, 3 up, 4 stay, 5 catch. Moves off the grid and catching
    without adjacent prey are masked, and do nothing; a predator that has left can only stay. State: the grid, cell by
    cell.
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
        require_integer("predators", predators, CATCHERS_NEEDED, rows * columns - 1)
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
        self._field, self._sight = (rows, columns), sight
        self._steps: Ints = np.zeros(num_matches, np.int64)
        # The stored grid has a border as wide as the sight, which always stays empty, so that neither moves nor
        # observation windows ever need bounds checks. Cells are numbered row by row, border included.
        self._width, height = columns + 2 * sight, rows + 2 * sight
        self._moves: Ints = np.array([1, self._width, -1, -self._width, 0, 0])  # change of the cell number per action
        lines = np.arange(sight, sight + rows)[:, None]
        # int64 [rows * columns]: the numbers of the cells inside the border.
        self._cells: Ints = (lines * self._width + np.arange(sight, sight + columns)).ravel()
        span = np.arange(-sight, sight + 1)
        # int64 [(2 sight + 1) ** 2]: offsets of the observed cells from the cell of the observer.
        self._window: Ints = (span[:, None] * self._width + span).ravel()
        # The grids of all matches follow one another in one array: match b begins at cell `_match_start[b]`.
        # int8 [B * height * width, 2]: channel 0 is 1 where a predator is, channel 1 where a prey is.
        self._match_start: Ints = np.arange(num_matches) * height * self._width
        self._grid = np.zeros((num_matches * height * self._width, 2), np.int8)
        # A view of the same memory with both channels packed into one uint16: half as many elements to gather, and 0
        # exactly where a cell is empty. Safe with any byte order: values are compared with 0, masked and viewed back.
        self._packed_grid: NDArray[np.uint16] = self._grid.view(np.uint16)[:, 0]
        # bool [B * height * width]: False on the border.
        self._inside = np.zeros(len(self._grid), np.bool_)
        self._inside[self._match_start[:, None] + self._cells] = True
        # Cell numbers in the array of all matches (not within the match), and whether the actor is still on the grid.
        self.predators: Ints = np.zeros((num_matches, predators), np.int64)
        self.prey: Ints = np.zeros((num_matches, prey), np.int64)
        self.hunting = np.zeros((num_matches, predators), np.bool_)
        self.alive = np.zeros((num_matches, prey), np.bool_)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Put predators and prey of all or the given matches on random cells."""
        chosen = np.arange(self.num_matches) if matches is None else matches
        count = self.predators.shape[1]
        # Sorting random numbers permutes the cells; the first ones are distinct and uniform.
        drawn = rng.random((len(chosen), len(self._cells))).argsort(axis=1)[:, : count + self.prey.shape[1]]
        self.place_actors(chosen, self._cells[drawn[:, :count]], self._cells[drawn[:, count:]])

    def place_actors(self, matches: Ints, predators: Ints, prey: Ints) -> None:
        """Start matches with all actors on given cells, numbered with the border: [K, predators] and [K, prey]."""
        base = self._match_start[matches][:, None]
        self._grid.reshape(self.num_matches, -1)[matches] = 0
        self.predators[matches], self.prey[matches] = base + predators, base + prey
        self._grid[base + predators, 0] = 1
        self._grid[base + prey, 1] = 1
        self.hunting[matches], self.alive[matches] = True, True
        self._steps[matches] = 0

    def acting(self) -> Bools:
        """Return True for all agents: bool [B, predators]. A predator that has left can only stay; it is still paid."""
        return np.ones(self.hunting.shape, np.bool_)

    def observe(self, matches: Ints, agents: Ints) -> Array:
        """Return what the predators see: int8 [R, 2 sight + 1, 2 sight + 1, 2], see the class."""
        # The border keeps the window inside the match. `take` copies, so `seen` may be changed in place.
        seen = self._packed_grid.take(self.predators[matches, agents][:, None] + self._window)
        seen *= self.hunting[matches, agents][:, None]
        return seen.view(np.int8).reshape(-1, *(self.groups[0].observation_space.shape))

    def action_mask(self, matches: Ints, agents: Ints) -> Bools:
        """Return the valid actions: bool [R, 6]. A move onto an occupied cell is valid, but fails."""
        adjacent = self.predators[matches, agents][:, None] + self._moves[:4]
        mask = np.ones((len(matches), 6), np.bool_)
        mask[:, :4] = self._inside.take(adjacent)
        mask[:, CATCH] = self._grid[adjacent, 1].any(axis=1)
        mask &= self.hunting[matches, agents][:, None]
        mask[:, STAY] = True
        return mask

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Move predators, then catch or move prey; `actions` is one array int64 [B, predators].

        Raises ValueError for an action that is not one of 0..5.
        """
        require_actions("predator_prey", self, actions)
        # Each row of an argsort of random numbers is a random order of the actors of a match.
        self._move_predators(self._moves[actions[0]], rng.random(self.hunting.shape).argsort(axis=1))
        order = rng.random(self.alive.shape).argsort(axis=1)
        points = rng.random((*self.alive.shape, 4))
        team = self._catch_and_move_prey(actions[0] == CATCH, order, points)
        self._steps += 1
        terminated: Bools = ~np.logical_and(np.any(self.alive, axis=1), np.any(self.hunting, axis=1))
        truncated = (self._steps >= self._max_cycles) & ~terminated
        rewards: Float32s = np.repeat(team[:, None], len(self.agents), axis=1).astype(np.float32)
        return Step.of_matches(rewards, terminated, truncated)

    def render(self, match: int, agent: int | None = None) -> str:
        """Return the grid: predators by number, prey as *; an agent sees its window, and nothing once it has left."""
        inner = {cell: index for index, cell in enumerate((self._match_start[match] + self._cells).tolist())}
        prey, alive = self.prey[match].tolist(), self.alive[match].tolist()
        marks = [(inner[cell], "*") for cell, is_alive in zip(prey, alive, strict=True) if is_alive]
        predators, hunting = self.predators[match].tolist(), self.hunting[match].tolist()
        marks += [(inner[cell], str(index)) for index, cell in enumerate(predators) if hunting[index]]
        if agent is not None and not hunting[agent]:
            return "has left the grid"
        center = None if agent is None else inner[predators[agent]]
        return grid_text(*self._field, marks, center, self._sight)

    def action_name(self, match: int, agent: int, action: Any, viewer: int | None = None) -> str:
        """Return what the action does."""
        return ("right", "down", "left", "up", "stay", "catch")[int(action)]

    def scores(self, matches: Ints) -> Float32s:
        """Return 0.5, float32 [K, 1]: a single team."""
        return np.full((len(matches), 1), 0.5, np.float32)

    def state(self, matches: Ints) -> Float32s:
        """Return the grids without their borders: float32 [K, 2 * cells]."""
        cells = self._match_start[matches][:, None] + self._cells
        state: Float32s = self._grid[cells].reshape(len(matches), 2 * len(self._cells)).astype(np.float32)
        return state

    def _move_predators(self, moves: Ints, order: Ints) -> None:
        """Move predators by `moves` [B, predators], one after the other, in the `order` [B, predators]."""
        rows = np.arange(self.num_matches)
        # Turn by turn, because a predator may move to a cell that another one has just left; all matches in parallel.
        for turn in range(order.shape[1]):
            predator = order[:, turn]
            here = self.predators[rows, predator]
            target = here + moves[rows, predator]
            # `_free` is False on the predator's current cell too: staying and catching move nothing.
            goes = (self.hunting[rows, predator] & self._free(target)).nonzero()[0]
            self._grid[here[goes], 0] = 0
            self._grid[target[goes], 0] = 1
            self.predators[goes, predator[goes]] = target[goes]

    def _catch_and_move_prey(self, catching: Bools, order: Ints, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Prey by prey, in `order` [B, prey]: remove it if caught, else move it to a random free adjacent cell.

        points: random numbers [B, prey, 4]; prey goes to the free cell with the highest one, a uniform choice.
        Returns the reward of the team, [B].
        """
        rows, team = np.arange(self.num_matches), np.zeros(self.num_matches)
        for turn in range(order.shape[1]):
            prey = order[:, turn]
            here, alive = self.prey[rows, prey], self.alive[rows, prey]
            # Cells are adjacent if their numbers differ by 1 or by the width: the border keeps the ends of lines apart.
            apart = np.abs(self.predators - here[:, None])
            trying = ((apart == 1) | (apart == self._width)) & catching & self.hunting & alive[:, None]
            count = trying.sum(axis=1)
            caught = count >= CATCHERS_NEEDED
            team += np.where(caught, self._reward, np.where(count > 0, -self._penalty, 0.0))
            # Caught prey leaves the grid with its catchers.
            self._remove(caught, prey, trying)
            # The other prey moves. [B, 4]: the adjacent cells; -1 is below every priority of a free cell.
            targets = here[:, None] + self._moves[:4]
            priority = np.where(self._free(targets), points[rows, prey], -1)
            best = priority.argmax(axis=1)
            goes = (alive & ~caught & (priority[rows, best] >= 0)).nonzero()[0]
            new = targets[goes, best[goes]]
            self._grid[here[goes], 1] = 0
            self._grid[new, 1] = 1
            self.prey[goes, prey[goes]] = new
        return team

    def _remove(self, caught: Bools, prey: Ints, trying: Bools) -> None:
        """Where `caught` [B], remove the prey with index `prey` [B] and all predators in `trying` [B, predators]."""
        matches = caught.nonzero()[0]
        self._grid[self.prey[matches, prey[matches]], 1] = 0
        self.alive[matches, prey[matches]] = False
        gone = trying & caught[:, None]
        self._grid[self.predators[gone], 0] = 0
        self.hunting &= ~gone

    def _free(self, cells: Ints) -> Bools:
        """Return whether cells (any shape) are inside the border and empty."""
        free: Bools = self._inside.take(cells) & (self._packed_grid.take(cells) == 0)
        return free
