"""SMAX: two sides of units fight on a continuous map, as in StarCraft's micromanagement, without StarCraft.

Rutherford et al., "JaxMARL: Multi-agent RL environments and algorithms in JAX" (2024). Equal to the package `jaxmarl`
(0.2.0, Apache-2.0) env step for env step, up to rounding in float32: `SMAX` and `HeuristicEnemySMAX` with discrete
actions and observations as lists of units. Release 0.2.0 changed the game: before, dead units went on moving and pushed
others, and cooldowns (in seconds) and attacks (numbers of actions) were observed unscaled. Results on earlier releases
are therefore of another game.

As there: a match that reaches the time limit ends in the step after it (`max_steps` + 1); an attack out of range does
nothing; dead units can only stop, and are still paid; units that start off the map, which SMACv2's starts allow, die in
the first step. Where we differ: a match that reaches the time limit is truncated (`done` there); continuous actions,
conic observations, the opponent's random targets, and settings of the map and of unit types are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from marl_app.envs.batched import Array, BatchedEnv, Bools, Float32s, Group, Ints, Step
from marl_app.envs.legal import require_actions
from marl_app.envs.settings import require_bool, require_choice, require_integer
from marl_app.envs.smax_enemy import HeuristicEnemy
from marl_app.envs.smax_picture import draw
from marl_app.envs.smax_starts import facing_starts, smacv2_starts, smacv2_types
from marl_app.envs.smax_units import SCENARIOS
from marl_app.envs.smax_views import FIRST_ATTACK, OTHER_FEATURES, OWN_FEATURES, STOP, Views
from marl_app.envs.smax_world import TICK_SECONDS, TICKS, World

MODES = ("heuristic", "self_play")
_MOVE_NAMES = ("up", "right", "down", "left", "stop")
# A move by 1 is (cos 45°)^2 + (sin 45°)^2 in float32 there, which is not 1 but the number below it.
_STEP = np.float32(np.sqrt(np.float32(0.5))) ** 2 * 2
_DIRECTIONS: Float32s = np.array([(0, 1), (1, 0), (0, -1), (-1, 0), (0, 0)], np.float32) * _STEP


class Smax(BatchedEnv):
    """`num_matches` matches of a scenario of `smax_units.SCENARIOS`.

    mode: "heuristic": the allies are a team of agents, and `HeuristicEnemy` plays the enemies. "self_play": allies and
        enemies are two sides of agents.
    max_steps: time limit, >= 1.
    use_self_play_reward: false: in each step all units of a side get the share of the other side's health that it lost,
        and 1 for a win. true: 1 for a win and -1 for a loss, zero-sum. null: true in the mode "self_play".

    A side wins when all units of the other side are dead; if both die in one tick, and at the time limit, it is a draw.
    Units die by attacks and at the walls of the map. Observations, masks and the state: see `smax_views`.
    """

    def __init__(
        self,
        num_matches: int,
        scenario: str = "3s5z",
        mode: str = "heuristic",
        max_steps: int = 100,
        use_self_play_reward: bool | None = None,
    ) -> None:
        require_choice("scenario", scenario, SCENARIOS)
        require_choice("mode", mode, MODES)
        require_integer("max_steps", max_steps, 1)
        if use_self_play_reward is not None:
            require_bool("use_self_play_reward", use_self_play_reward)
        self.num_matches, self._scenario, self._max_steps = num_matches, SCENARIOS[scenario], max_steps
        self._zero_sum = mode == "self_play" if use_self_play_reward is None else use_self_play_reward
        self._allies, enemies = len(self._scenario.allies), len(self._scenario.enemies)
        self._units = self._allies + enemies
        self.world = World(num_matches, self._units)
        self._views = Views(self.world, self._allies, enemies)
        self._unit_names = [f"ally_{i}" for i in range(self._allies)] + [f"enemy_{i}" for i in range(enemies)]
        self.enemy = HeuristicEnemy(self.world, self._allies, self._views.opponents[1]) if mode == "heuristic" else None
        sides = tuple(range(self._allies)), tuple(range(self._allies, self._units))
        self.sides = sides if self.enemy is None else sides[:1]
        self.agents = tuple(self._unit_names[: sum(map(len, self.sides))])
        # Sides of the same number of units have the same spaces: a single group.
        if self.enemy is None and self._allies == enemies:
            self.groups = (self._group("unit", sides[0] + sides[1], enemies),)
        else:
            groups = self._group("ally", sides[0], enemies), self._group("enemy", sides[1], self._allies)
            self.groups = groups[: len(self.sides)]
        self.state_space = _state_space(self._units)
        # What all units did last: [B, units, 2], and the action [B, units]; 0 at the start.
        self._moves: Float32s = np.zeros((num_matches, self._units, 2), np.float32)
        self._actions: Ints = np.zeros((num_matches, self._units), np.int64)
        self._steps: Ints = np.zeros(num_matches, np.int64)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Place the units of all or the given matches."""
        chosen = np.arange(self.num_matches) if matches is None else matches
        size = len(chosen), self._allies, self._units - self._allies
        if self._scenario.random:
            self.start(chosen, smacv2_starts(rng, *size), smacv2_types(rng, *size))
        else:
            types = np.broadcast_to(self._scenario.types, (len(chosen), self._units))
            self.start(chosen, facing_starts(rng, *size), types)

    def start(self, matches: Ints, positions: Float32s, types: Ints) -> None:
        """Start matches with units at `positions` [K, units, 2], which may overlap, of `types` [K, units]."""
        self.world.place(matches, positions, types)
        self._moves[matches], self._actions[matches], self._steps[matches] = 0, 0, 0
        if self.enemy is not None:
            self.enemy.start(matches)

    def acting(self) -> Bools:
        """Return True for all agents: bool [B, agents]. A dead unit can only stop; it is still paid."""
        return np.ones((self.num_matches, len(self.agents)), np.bool_)

    def observe(self, matches: Ints, agents: Ints) -> Float32s:
        """Return the observations of units, see `Views.observe`: float32 [R, numbers]."""
        return self._views.observe(matches, agents, self._moves, self._actions)

    def action_mask(self, matches: Ints, agents: Ints) -> Bools:
        """Return the legal actions, bool [R, 5 + opponents]: up, right, down, left, stop, attack an opponent."""
        return self._views.masks(matches, agents)

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Advance all matches by half a second; `rng` draws the jitter of cooldowns and the unit that an enemy follows.

        Raises ValueError for an action outside of the space; an attack out of range does nothing.
        """
        require_actions("smax", self, actions)
        jitter = (rng.random((TICKS, self.num_matches, self._units), np.float32) * 3 - 1) * TICK_SECONDS
        draws = 1 - rng.random((self.num_matches, self._units - self._allies), np.float32)
        return self.play(np.concatenate(actions, axis=1), jitter, draws)

    def play(self, actions: Ints, jitter: Float32s, draws: Float32s) -> Step:
        """Advance all matches with the given random numbers.

        actions: int64 [B, agents]. jitter: float32 [TICKS, B, units] in seconds, see `World.advance`.
        draws: float32 [B, enemies] in (0, 1], see `HeuristicEnemy.choose`; used only in the mode "heuristic".
        """
        if self.enemy is not None:
            actions = np.concatenate([actions, self.enemy.choose(draws)], axis=1)
        before = self.world.health.copy()
        self._actions, self._moves = actions, _DIRECTIONS[np.minimum(actions, STOP)]
        self.world.advance(self._moves, self._views.targets(actions), jitter)
        self._steps += 1
        # bool [B] each: all allies, all enemies are dead.
        lost, won = self._defeated()
        rewards = self._rewards(before, lost, won)
        terminated = lost | won
        # As in jaxmarl, which looks at the number of steps before it counts this one.
        truncated = (self._steps > self._max_steps) & ~terminated
        return Step.of_matches(rewards, terminated, truncated)

    def scores(self, matches: Ints) -> Float32s:
        """Return 0.5 for a single team, else 1 for a win, 0 for a loss, 0.5 for a draw: float32 [K, sides]."""
        if len(self.sides) == 1:
            return np.full((len(matches), 1), 0.5, np.float32)
        lost, won = (side[matches].astype(np.float32) for side in self._defeated())
        return np.stack([0.5 + (won - lost) / 2, 0.5 + (lost - won) / 2], axis=1)

    def state(self, matches: Ints) -> Float32s:
        """Return the global states of the matches, see `Views.states`: float32 [K, units * 12]."""
        return self._views.states(matches)

    def render(self, match: int, agent: int | None = None) -> NDArray[np.uint8]:
        """Return a picture of the map: allies blue, enemies red, paler with less health; y points up.

        The agent that it is for has a black rim; it is shown what it sees, and nothing once it is dead.
        """
        world = self.world
        shown = world.alive[match]
        if agent is not None:
            away = np.linalg.norm(world.positions[match] - world.positions[match, agent], axis=1)
            shown = shown & shown[agent] & (away < world.sight[match, agent])
        return draw(world, match, shown, self._allies, agent)

    def action_name(self, match: int, agent: int, action: Any, viewer: int | None = None) -> str:
        """Return the direction of a move, "stop", or the unit that the action attacks."""
        if action < FIRST_ATTACK:
            return _MOVE_NAMES[int(action)]
        opponents = self._views.opponents[int(agent >= self._allies)]
        return f"attack {self._unit_names[opponents[int(action) - FIRST_ATTACK]]}"

    def _group(self, name: str, agents: tuple[int, ...], opponents: int) -> Group:
        # Positions are the only numbers that can leave [-1, 1]: of units that start, or were pushed, off the map.
        size = (self._units - 1) * OTHER_FEATURES + OWN_FEATURES
        return Group(name, agents, spaces.Box(-3, 3, (size,), np.float32), spaces.Discrete(FIRST_ATTACK + opponents))

    def _defeated(self) -> tuple[Bools, Bools]:
        """Return whether all allies, and whether all enemies are dead: bool [B] each."""
        lost: Bools = ~np.any(self.world.alive[:, : self._allies], axis=1)
        won: Bools = ~np.any(self.world.alive[:, self._allies :], axis=1)
        return lost, won

    def _rewards(self, before: Float32s, lost: Bools, won: Bools) -> Float32s:
        """Return the rewards of the agents, float32 [B, agents], for the units' health `before` the step [B, units]."""
        result = (won & ~lost).astype(np.float32), (lost & ~won).astype(np.float32)  # allies win, enemies win
        if self._zero_sum:
            allies, enemies = result[0] - result[1], result[1] - result[0]
        else:
            taken = (before - self.world.health) / self.world.full_health
            allies = taken[:, self._allies :].mean(axis=1) + result[0]
            enemies = taken[:, : self._allies].mean(axis=1) + result[1]
        return np.where(np.arange(len(self.agents)) < self._allies, allies[:, None], enemies[:, None])


def _state_space(units: int) -> spaces.Box:
    """Return the bounds of a state. Cooldowns have none: those of units that do not attack fall without end."""
    # Units can start up to 2 cells off the map, and a pile of 40 of them pushes one by up to 25 more.
    low, high = [0, -32, -32, -np.inf] + [0] * (OWN_FEATURES - 4), [1, 64, 64, np.inf] + [1] * (OWN_FEATURES - 4)
    return spaces.Box(
        np.array(low * units + [0] * 2 * units, np.float32),
        np.array(high * units + [1] * units + [OWN_FEATURES - 5] * units, np.float32),
    )
