"""Level-based foraging: a team gathers food; food is loaded by players whose levels sum to at least its level.

Albrecht & Ramamoorthy (2013), as in Papoudakis et al., "Benchmarking multi-agent deep reinforcement learning algorithms
in cooperative tasks" (2021). Equal to the package `lbforaging` (2.0.0) move for move: transitions, rewards, vector
observations, valid actions, and the distribution of initial states. Where we differ: a match that reaches the time
limit is truncated (`done` in lbforaging); level ranges are shared by all players and by all food (lists there); grid
observations and hidden levels are left out; and `shared_reward` gives every player the mean of all rewards
(EPyMARL, the code of that paper, gives the sum), so that all food of a match stays worth 1 over all players.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Float32s, Group, Ints, Step
from marl_app.envs.grid import coordinates, draw_cells, grid_text
from marl_app.envs.legal import require_actions
from marl_app.envs.settings import require_bool, require_field, require_integer, require_number

NONE, NORTH, SOUTH, WEST, EAST, LOAD = range(6)
_MOVES: Ints = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)])


class Foraging(BatchedEnv):
    """`num_matches` matches of one team on a grid, with lbforaging's names for the settings.

    field_size: [rows, columns], each >= 3. players: >= 1. max_num_food: food at the start, less where no room is left.
    sight: how many cells away a player sees. force_coop: every food needs the three weakest players (or all of fewer).
    min_player_level..max_player_level and min_food_level..max_food_level: ranges that levels are drawn from;
        max_food_level null is the sum of the three lowest player levels.
    max_episode_steps: time limit. normalize_reward: the food of a match is worth 1 in total.
    penalty: subtracted from each player of a load that failed because the levels were too low.
    shared_reward: every player gets the mean of all rewards; false, as in lbforaging: each gets its share.

    Observation float32 [3 max_num_food + 3 players]: row, column and level of each visible food, then of the player
    itself and of the other visible players, relative to the top left corner of the visible area; (-1, -1, 0) for the
    rest. Actions: 0 nothing, 1 north, 2 south, 3 west, 4 east, 5 load; an invalid action does nothing, as there. Loaded
    food pays each player who took part in proportion to its level. The state is all observations, player by player.
    """

    def __init__(
        self,
        num_matches: int,
        field_size: Sequence[int] = (8, 8),
        players: int = 2,
        max_num_food: int = 2,
        sight: int = 8,
        force_coop: bool = False,
        max_episode_steps: int = 50,
        min_player_level: int = 1,
        max_player_level: int = 2,
        min_food_level: int = 1,
        max_food_level: int | None = None,
        normalize_reward: bool = True,
        penalty: float = 0.0,
        shared_reward: bool = False,
    ) -> None:
        require_field("field_size", field_size, 3)
        require_integer("players", players, 1, field_size[0] * field_size[1])
        for key, value in (("max_num_food", max_num_food), ("sight", sight), ("max_episode_steps", max_episode_steps)):
            require_integer(key, value, 1)
        _check_levels(min(3, players), min_player_level, max_player_level, min_food_level, max_food_level)
        require_bool("force_coop", force_coop)
        require_bool("normalize_reward", normalize_reward)
        require_bool("shared_reward", shared_reward)
        require_number("penalty", penalty, 0)
        self.num_matches = num_matches
        self.agents = tuple(f"player_{index}" for index in range(players))
        self.sides = (tuple(range(players)),)
        self._size: Ints = np.array(field_size, np.int64)
        self._sight, self._coop, self._limit = sight, force_coop, max_episode_steps
        self._player_levels, self._food_levels = (min_player_level, max_player_level), (min_food_level, max_food_level)
        self._normalize, self._penalty, self._shared = normalize_reward, penalty, shared_reward
        most = min(3, players) * max_player_level if max_food_level is None else max_food_level
        space = _observation_space(self._size, max_num_food, players, most, max_player_level)
        self.groups = (Group("player", self.sides[0], space, spaces.Discrete(len(_MOVES))),)
        self.state_space = spaces.Box(np.tile(space.low, players), np.tile(space.high, players), dtype=np.float32)
        self._inner, self._far = _room_for_food(self._size)
        # int64 [players, players]: for each player the order of players in its observation, itself first.
        self._self_first: Ints = np.array([[a, *(o for o in range(players) if o != a)] for a in range(players)])
        # Positions are [row, column]. Food is sorted by its cells, row by row, and has level 0 once it is loaded. So
        # observations list it in lbforaging's order.
        self.positions: Ints = np.zeros((num_matches, players, 2), np.int64)
        self.levels: Ints = np.zeros((num_matches, players), np.int64)
        self.food_positions: Ints = np.zeros((num_matches, max_num_food, 2), np.int64)
        self.food_levels: Ints = np.zeros((num_matches, max_num_food), np.int64)
        self.food_spawned: Ints = np.zeros(num_matches, np.int64)  # sum of the food levels at the start
        self._steps: Ints = np.zeros(num_matches, np.int64)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Spawn players and food of all or the given matches."""
        chosen = np.arange(self.num_matches) if matches is None else matches
        rows, (count, food_count) = np.arange(len(chosen)), (len(self.agents), self.food_levels.shape[1])
        # bool [K, cells]: the cells that are still free. Players first, on any cell; then food, on inner cells only.
        room = np.ones((len(chosen), self._size.prod()), np.bool_)
        for player in range(count):
            cells = draw_cells(rng, room)
            room[rows, cells] = False
            self.positions[chosen, player] = coordinates(cells, self._size[1])
        self.levels[chosen] = rng.integers(*self._player_levels, (len(chosen), count), endpoint=True)
        levels = self._draw_food_levels(rng, chosen)
        room &= self._inner
        food: Ints = np.zeros((len(chosen), food_count), np.int64)
        for index in range(food_count):
            # Without a free cell `draw_cells` returns an arbitrary one; level 0 marks that no food is there.
            levels[~room.any(axis=1), index] = 0
            food[:, index] = draw_cells(rng, room)
            room &= self._far[food[:, index]]
        order = food.argsort(axis=1)
        self.food_positions[chosen] = coordinates(np.take_along_axis(food, order, axis=1), self._size[1])
        self.food_levels[chosen] = np.take_along_axis(levels, order, axis=1)
        self.food_spawned[chosen] = levels.sum(axis=1)
        self._steps[chosen] = 0

    def acting(self) -> Bools:
        """Return True for all players: bool [B, players]."""
        return np.ones((self.num_matches, len(self.agents)), np.bool_)

    def observe(self, matches: Ints, agents: Ints) -> Float32s:
        """Return the observations of players: float32 [R, 3 max_num_food + 3 players], see the class."""
        # center: [R, 1, 2]; corner: the top left cell of the visible area, cut off at the edge of the grid.
        center = self.positions[matches, agents][:, None]
        corner = np.maximum(center - self._sight, 0)
        food, levels = self.food_positions[matches], self.food_levels[matches]
        seen: Bools = np.all(np.abs(food - center) <= self._sight, axis=2) & (levels > 0)
        order = (matches[:, None], self._self_first[agents])  # the player itself, then the others
        players = self.positions[order] - corner
        # As in lbforaging: the visible area is 2 sight + 1 cells from the corner, also where the corner was cut off. So
        # near the upper and the left edge players are visible at a larger distance than food.
        near: Bools = np.all((players >= 0) & (players <= 2 * self._sight), axis=2)
        parts = _list_visible(food - corner, levels, seen), _list_visible(players, self.levels[order], near)
        return np.concatenate(parts, axis=1)

    def action_mask(self, matches: Ints, agents: Ints) -> Bools:
        """Return the valid actions: bool [R, 6]. A move onto another player is valid, but fails."""
        position = self.positions[matches, agents]
        return valid_actions(position, self.food_positions[matches], self.food_levels[matches], self._size)

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Move, then load; `actions` is one array int64 [B, players], `rng` is not used.

        Raises ValueError for an action that is not one of 0..5.
        """
        require_actions("foraging", self, actions)
        food, levels = self.food_positions[:, None], self.food_levels[:, None]  # [B, 1, food, 2] and [B, 1, food]
        valid = valid_actions(self.positions, food, levels, self._size)
        chosen = np.where(np.take_along_axis(valid, actions[0][..., None], 2)[..., 0], actions[0], NONE)
        self._move(chosen)
        rewards = self._load(chosen == LOAD)
        self._steps += 1
        terminated: Bools = np.all(self.food_levels == 0, axis=1)
        truncated = (self._steps >= self._limit) & ~terminated
        return Step.of_matches(rewards, terminated, truncated)

    def render(self, match: int, agent: int | None = None) -> str:
        """Return the grid: players as letters, A is player_0, food as f, each with its level."""
        rows, columns = self._size.tolist()
        food = (self.food_positions[match] @ [columns, 1]).tolist()  # cells
        players = (self.positions[match] @ [columns, 1]).tolist()
        marks = [
            (cell, f"f{level}") for cell, level in zip(food, self.food_levels[match].tolist(), strict=True) if level
        ]
        levels = self.levels[match].tolist()
        marks += [(cell, f"{chr(ord('A') + index)}{levels[index]}") for index, cell in enumerate(players)]
        return grid_text(rows, columns, marks, None if agent is None else players[agent], self._sight)

    def action_name(self, match: int, agent: int, action: Any, viewer: int | None = None) -> str:
        """Return what the action does."""
        return ("nothing", "north", "south", "west", "east", "load")[int(action)]

    def scores(self, matches: Ints) -> Float32s:
        """Return 0.5, float32 [K, 1]: a single team."""
        return np.full((len(matches), 1), 0.5, np.float32)

    def state(self, matches: Ints) -> Float32s:
        """Return all observations of the matches, player by player: float32 [K, state size]."""
        count = len(self.agents)
        rows = self.observe(matches.repeat(count), np.tile(np.arange(count), len(matches)))
        return rows.reshape(len(matches), count * rows.shape[1])

    def _move(self, chosen: Ints) -> None:
        """Move each player whose target cell is the target of no other player; a player that stays targets its cell.

        As in lbforaging, two players can end up in one cell: one whose move failed, and one that follows it.
        """
        target = self.positions + _MOVES[chosen]
        cells = target[..., 0] * self._size[1] + target[..., 1]
        # bool [B, players]: True where the target is unique. Each player matches itself, hence == 1.
        alone = (cells[:, :, None] == cells[:, None]).sum(axis=2) == 1
        self.positions = np.where(alone[..., None], target, self.positions)

    def _load(self, loading: Bools) -> Float32s:
        """Load food with the players in `loading` (bool [B, players]); returns the rewards, float32 [B, players]."""
        delta = np.abs(self.food_positions[:, None] - self.positions[:, :, None])
        # helping: bool [B, players, food], True where a player loads a food next to it. strength: [B, food], the sum of
        # the levels of these players.
        helping = (delta.sum(axis=3) == 1) & (self.food_levels > 0)[:, None] & loading[..., None]
        strength = (helping * self.levels[..., None]).sum(axis=1)
        loaded = (strength >= self.food_levels) & (strength > 0)
        # lbforaging's reward of a player: level * food level / (strength * food_spawned); without normalization the
        # divisor is 1. The maximum only avoids 0 / 0 where nothing is loaded.
        worth = self.levels[..., None] * self.food_levels[:, None]
        whole = np.maximum(strength * self.food_spawned[:, None], 1) if self._normalize else np.ones_like(strength)
        gained = np.where(loaded[:, None], worth / whole[:, None], -self._penalty) * helping
        self.food_levels[loaded] = 0
        rewards: Float32s = gained.sum(axis=2).astype(np.float32)
        return np.broadcast_to(rewards.mean(axis=1, keepdims=True), rewards.shape).copy() if self._shared else rewards

    def _draw_food_levels(self, rng: np.random.Generator, chosen: Ints) -> Ints:
        """Draw the levels of food, [K, food], given the current levels of the players."""
        low, high = self._food_levels
        strongest = (
            np.sort(self.levels[chosen], axis=1)[:, :3].sum(axis=1) if high is None else np.full(len(chosen), high)
        )
        weakest = strongest if self._coop else np.full(len(chosen), low)
        size = (len(chosen), self.food_levels.shape[1])
        return rng.integers(weakest[:, None], strongest[:, None], size, endpoint=True)


def _check_levels(team: int, min_player: int, max_player: int, min_food: int, max_food: int | None) -> None:
    """Raise ValueError unless the ranges are valid for all levels that the `team` weakest players may have."""
    require_integer("min_player_level", min_player, 1)
    require_integer("max_player_level", max_player, min_player)
    if max_food is not None:
        require_integer("max_food_level", max_food, 1)
    require_integer("min_food_level", min_food, 1, team * min_player if max_food is None else max_food)


def valid_actions(position: Ints, food: Ints, levels: Ints, size: Ints) -> Bools:
    """Return which actions have an effect: bool [..., 6] for position [..., 2], food [..., n, 2] and levels [..., n].

    Moves must stay on the grid and off food; loading needs food next to the player.
    """
    delta = food - position[..., None, :]
    adjacent = (np.abs(delta).sum(axis=-1) == 1) & (levels > 0)
    valid = np.ones((*position.shape[:-1], len(_MOVES)), np.bool_)
    for axis, back, forth in ((0, NORTH, SOUTH), (1, WEST, EAST)):
        valid[..., back] = (position[..., axis] > 0) & ~(adjacent & (delta[..., axis] == -1)).any(axis=-1)
        inside = position[..., axis] < size[axis] - 1
        valid[..., forth] = inside & ~(adjacent & (delta[..., axis] == 1)).any(axis=-1)
    valid[..., LOAD] = adjacent.any(axis=-1)
    return valid


def _list_visible(where: Ints, levels: Ints, seen: Bools) -> Float32s:
    """Return (row, column, level) of the visible entities first, then (-1, -1, 0) for each other: float32 [R, 3 n].

    where: [R, n, 2]; levels: [R, n]; seen: bool [R, n].
    """
    # A stable sort by visibility keeps the order among the visible ones.
    order = np.argsort(~seen, axis=1, kind="stable")
    listed = np.concatenate([where, levels[..., None]], axis=2, dtype=np.float32)
    listed[~seen] = (-1, -1, 0)
    return np.take_along_axis(listed, order[..., None], axis=1).reshape(len(where), 3 * order.shape[1])


def _observation_space(size: Ints, food: int, players: int, food_level: int, player_level: int) -> spaces.Box:
    """Return the bounds of an observation; the levels are the highest possible ones."""
    high = [*(size - 1), food_level] * food + [*(size - 1), player_level] * players
    return spaces.Box(np.array([-1, -1, 0] * (food + players), np.float32), np.array(high, np.float32))


def _room_for_food(size: Ints) -> tuple[Bools, Bools]:
    """Return where food may be: bool [cells], True off the edge; bool [cells, cells], True if two cells may have it.

    No other food is in the 3 x 3 cells around a food, nor two cells away in its row or column: so no player is ever
    next to two of them.
    """
    cells = coordinates(np.arange(size.prod()), size[1])
    inner: Bools = np.all((cells > 0) & (cells < size - 1), axis=1)
    apart = np.abs(cells[:, None] - cells)
    far: Bools = (apart.max(axis=2) > 2) | ((apart.max(axis=2) == 2) & (apart.min(axis=2) > 0))
    return inner, far
