"""Level-based foraging: players gather food together; food is loaded only by players whose levels reach its own.

Albrecht & Ramamoorthy (2013), as in Papoudakis et al., "Benchmarking multi-agent deep reinforcement learning algorithms
in cooperative tasks" (2021). Equal to the package `lbforaging` (2.0.0) move for move: same transitions, rewards, vector
observations, valid actions, and the same distribution of starts. Where we differ: a match that runs out of time is
truncated (done there), levels are the same for all players and all food (lists there), grid observations, hidden
levels and rendering are left out, and `shared_reward` is what that paper's EPyMARL does to the rewards (which adds them
up; here it is the mean, so that all food of a match stays worth 1 over all players).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import Array, BatchedEnv, Bools, Floats, Group, Ints, Step
from marl_app.envs.grid import coordinates, draw_cells
from marl_app.envs.legal import require_actions
from marl_app.envs.settings import require_bool, require_field, require_integer, require_number

NONE, NORTH, SOUTH, WEST, EAST, LOAD = range(6)
_MOVES: Ints = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)])


class Foraging(BatchedEnv):
    """`num_matches` matches of one team on a grid, with lbforaging's names for the settings.

    field_size: [rows, columns], each >= 3. players: >= 1. max_num_food: food at the start, less where it finds no room.
    sight: how many cells away a player sees. force_coop: every food needs the three weakest players (or all of fewer).
    min_player_level..max_player_level and min_food_level..max_food_level: levels are drawn from; max_food_level null is
        the sum of the three lowest levels of players.
    max_episode_steps: time limit. normalize_reward: all food of a match is worth 1 in all.
    penalty: the price of loading with too low levels.
    shared_reward: everybody gets the mean of what the players got; false, as in lbforaging: each its own share.

    Observation float32 [3 max_num_food + 3 players]: row, column and level of each visible food, then of the player
    itself and of the other visible ones, counted from the top left corner of what it sees; (-1, -1, 0) for the rest.
    Actions: 0 nothing, 1 north, 2 south, 3 west, 4 east, 5 load; one that is not valid is 0, as there. Loading brings
    each player who took part its share by level. The state is all observations, one after the other.
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
        self._self_first: Ints = np.array([[a, *(o for o in range(players) if o != a)] for a in range(players)])
        # Food is kept in the order of its cells, row by row, and has level 0 once it is loaded.
        self.positions: Ints = np.zeros((num_matches, players, 2), np.int64)
        self.levels: Ints = np.zeros((num_matches, players), np.int64)
        self.food_positions: Ints = np.zeros((num_matches, max_num_food, 2), np.int64)
        self.food_levels: Ints = np.zeros((num_matches, max_num_food), np.int64)
        self.food_spawned: Ints = np.zeros(num_matches, np.int64)  # sum of the levels at the start
        self._steps: Ints = np.zeros(num_matches, np.int64)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Spawn players and food of all or the given matches."""
        chosen = np.arange(self.num_matches) if matches is None else matches
        rows, (count, food_count) = np.arange(len(chosen)), (len(self.agents), self.food_levels.shape[1])
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
            levels[~room.any(axis=1), index] = 0
            food[:, index] = draw_cells(rng, room)
            room &= self._far[food[:, index]]
        order = food.argsort(axis=1)
        self.food_positions[chosen] = coordinates(np.take_along_axis(food, order, axis=1), self._size[1])
        self.food_levels[chosen] = np.take_along_axis(levels, order, axis=1)
        self.food_spawned[chosen] = levels.sum(axis=1)
        self._steps[chosen] = 0

    def acting(self) -> Bools:
        """Everybody, always: bool [B, players]."""
        return np.ones((self.num_matches, len(self.agents)), np.bool_)

    def observe(self, matches: Ints, agents: Ints) -> Floats:
        """What the players see: float32 [R, 3 max_num_food + 3 players], see the class."""
        center = self.positions[matches, agents][:, None]
        corner = np.maximum(center - self._sight, 0)
        food, levels = self.food_positions[matches], self.food_levels[matches]
        seen: Bools = np.all(np.abs(food - center) <= self._sight, axis=2) & (levels > 0)
        order = (matches[:, None], self._self_first[agents])  # the player itself, then the others
        players = self.positions[order] - corner
        # As in lbforaging: near the upper and the left edge a player sees others farther away than food.
        near: Bools = np.all((players >= 0) & (players <= 2 * self._sight), axis=2)
        parts = _list_visible(food - corner, levels, seen), _list_visible(players, self.levels[order], near)
        return np.concatenate(parts, axis=1)

    def action_mask(self, matches: Ints, agents: Ints) -> Bools:
        """Which actions are valid: bool [R, 6]. A step onto another player is; it just fails."""
        position = self.positions[matches, agents]
        return valid_actions(position, self.food_positions[matches], self.food_levels[matches], self._size)

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Move, then load; `actions` is one array int64 [B, players], `rng` is not used.

        Raises ValueError for an action that is not one of 0..5.
        """
        require_actions("foraging", self, actions)
        food, levels = self.food_positions[:, None], self.food_levels[:, None]
        valid = valid_actions(self.positions, food, levels, self._size)
        chosen = np.where(np.take_along_axis(valid, actions[0][..., None], 2)[..., 0], actions[0], NONE)
        self._move(chosen)
        rewards = self._load(chosen == LOAD)
        self._steps += 1
        terminated: Bools = np.all(self.food_levels == 0, axis=1)
        truncated = (self._steps >= self._limit) & ~terminated
        return Step(rewards, terminated, truncated, np.repeat(terminated[:, None], len(self.agents), axis=1))

    def scores(self, matches: Ints) -> Floats:
        """One team: 0.5, float32 [K, 1]."""
        return np.full((len(matches), 1), 0.5, np.float32)

    def state(self, matches: Ints) -> Floats:
        """All observations of the matches, player by player: float32 [K, state size]."""
        count = len(self.agents)
        rows = self.observe(matches.repeat(count), np.tile(np.arange(count), len(matches)))
        return rows.reshape(len(matches), count * rows.shape[1])

    def _move(self, chosen: Ints) -> None:
        """Everybody moves who is the only one to go, or to stay, there; so two can end up in one cell, as there."""
        target = self.positions + _MOVES[chosen]
        cells = target[..., 0] * self._size[1] + target[..., 1]
        alone = (cells[:, :, None] == cells[:, None]).sum(axis=2) == 1
        self.positions = np.where(alone[..., None], target, self.positions)

    def _load(self, loading: Bools) -> Floats:
        """Load food with the players who do (bool [B, players]); returns what each player gets."""
        delta = np.abs(self.food_positions[:, None] - self.positions[:, :, None])
        helping = (delta.sum(axis=3) == 1) & (self.food_levels > 0)[:, None] & loading[..., None]  # [B, players, food]
        strength = (helping * self.levels[..., None]).sum(axis=1)
        loaded = (strength >= self.food_levels) & (strength > 0)
        worth = self.levels[..., None] * self.food_levels[:, None]
        whole = np.maximum(strength * self.food_spawned[:, None], 1) if self._normalize else np.ones_like(strength)
        gained = np.where(loaded[:, None], worth / whole[:, None], -self._penalty) * helping
        self.food_levels[loaded] = 0
        rewards: Floats = gained.sum(axis=2).astype(np.float32)
        return np.broadcast_to(rewards.mean(axis=1, keepdims=True), rewards.shape).copy() if self._shared else rewards

    def _draw_food_levels(self, rng: np.random.Generator, chosen: Ints) -> Ints:
        """Levels [K, food], for the players' levels as they are."""
        low, high = self._food_levels
        strongest = (
            np.sort(self.levels[chosen], axis=1)[:, :3].sum(axis=1) if high is None else np.full(len(chosen), high)
        )
        weakest = strongest if self._coop else np.full(len(chosen), low)
        size = (len(chosen), self.food_levels.shape[1])
        return rng.integers(weakest[:, None], strongest[:, None], size, endpoint=True)


def _check_levels(team: int, min_player: int, max_player: int, min_food: int, max_food: int | None) -> None:
    """Raise ValueError unless levels can be drawn, whatever the levels of the `team` weakest players will be."""
    require_integer("min_player_level", min_player, 1)
    require_integer("max_player_level", max_player, min_player)
    if max_food is not None:
        require_integer("max_food_level", max_food, 1)
    require_integer("min_food_level", min_food, 1, team * min_player if max_food is None else max_food)


def valid_actions(position: Ints, food: Ints, levels: Ints, size: Ints) -> Bools:
    """Which of the actions do something: bool [..., 6] for position [..., 2], food [..., n, 2] and levels [..., n]."""
    delta = food - position[..., None, :]
    adjacent = (np.abs(delta).sum(axis=-1) == 1) & (levels > 0)
    valid = np.ones((*position.shape[:-1], len(_MOVES)), np.bool_)
    for axis, back, forth in ((0, NORTH, SOUTH), (1, WEST, EAST)):
        valid[..., back] = (position[..., axis] > 0) & ~(adjacent & (delta[..., axis] == -1)).any(axis=-1)
        inside = position[..., axis] < size[axis] - 1
        valid[..., forth] = inside & ~(adjacent & (delta[..., axis] == 1)).any(axis=-1)
    valid[..., LOAD] = adjacent.any(axis=-1)
    return valid


def _list_visible(where: Ints, levels: Ints, seen: Bools) -> Floats:
    """What is seen of the things at [R, n, 2], of levels [R, n], in order, then (-1, -1, 0): float32 [R, 3 n]."""
    order = np.argsort(~seen, axis=1, kind="stable")
    listed = np.concatenate([where, levels[..., None]], axis=2, dtype=np.float32)
    listed[~seen] = (-1, -1, 0)
    return np.take_along_axis(listed, order[..., None], axis=1).reshape(len(where), 3 * order.shape[1])


def _observation_space(size: Ints, food: int, players: int, food_level: int, player_level: int) -> spaces.Box:
    high = [*(size - 1), food_level] * food + [*(size - 1), player_level] * players
    return spaces.Box(np.array([-1, -1, 0] * (food + players), np.float32), np.array(high, np.float32))


def _room_for_food(size: Ints) -> tuple[Bools, Bools]:
    """Cells that are not at the edge, bool [cells]; cells [cells, cells] far enough from food in another one.

    Food has no other food in the 3 x 3 cells around it, nor within two cells in line with it: so that nobody is ever
    adjacent two of them.
    """
    cells = coordinates(np.arange(size.prod()), size[1])
    inner: Bools = np.all((cells > 0) & (cells < size - 1), axis=1)
    apart = np.abs(cells[:, None] - cells)
    far: Bools = (apart.max(axis=2) > 2) | ((apart.max(axis=2) == 2) & (apart.min(axis=2) > 0))
    return inner, far
