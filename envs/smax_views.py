"""What units of SMAX observe and may do, and the global state: as in the package `jaxmarl` (0.2.0).

In that release a unit neither observes dead units nor is it observed once dead (all zeros), observed cooldowns are
shares of the full cooldown in [0, 1], observed attacks are shares of the highest action, and positions of others are
shares of the observer's sight. The global state has positions in cells and cooldowns in seconds.

Shapes: B matches, R rows (a match and a unit each), N units, allies first.
"""

from __future__ import annotations

import numpy as np

from marl_app.envs.batched import Bools, Float32s, Ints
from marl_app.envs.smax_units import UNIT_TYPES
from marl_app.envs.smax_world import MAP_SIZE, World, lengths

STOP, FIRST_ATTACK = 4, 5
"""Actions 0 to 3 move up, right, down and left; an action from 5 on attacks one opponent."""
_ONE_HOT = np.eye(len(UNIT_TYPES), dtype=np.float32)
OTHER_FEATURES, OWN_FEATURES = 7 + len(UNIT_TYPES), 4 + len(UNIT_TYPES)


class Views:
    """Observations, masks and states of a `World` of `allies` + `enemies` units."""

    def __init__(self, world: World, allies: int, enemies: int) -> None:
        self._world, self._allies = world, allies
        units = allies + enemies
        self._is_enemy: Bools = np.arange(units) >= allies
        # Allies list units in order, enemies in reverse order: so both list their own side first.
        orders = [range(units) if unit < allies else range(units - 1, -1, -1) for unit in range(units)]
        others = [[other for other in order if other != unit] for unit, order in enumerate(orders)]
        # int64 [N, N - 1]: for each unit the other ones in the order in which it observes them.
        self._others: Ints = np.array(others)
        self.opponents: tuple[Ints, Ints] = (np.arange(allies, units), np.arange(allies - 1, -1, -1))
        """Opponents of allies and of enemies in the order of the actions that attack them, and of observations."""
        # int64 [N, actions]: the unit that an action attacks; the unit itself: none.
        self._targets: Ints = np.repeat(np.arange(units)[:, None], FIRST_ATTACK + max(allies, enemies), axis=1)
        for side, members in enumerate((slice(0, allies), slice(allies, units))):
            self._targets[members, FIRST_ATTACK : FIRST_ATTACK + len(self.opponents[side])] = self.opponents[side]
        # The number of the highest action of each unit, float32 [N].
        self._last_action = np.where(self._is_enemy, FIRST_ATTACK + allies - 1, FIRST_ATTACK + enemies - 1).astype(
            np.float32
        )

    def targets(self, actions: Ints) -> Ints:
        """Return the units that units attack with their `actions` [B, N]; itself: none. int64 [B, N]."""
        return self._targets[np.arange(len(self._targets)), actions]

    def observe(self, matches: Ints, units: Ints, moves: Float32s, actions: Ints) -> Float32s:
        """Return observations: float32 [R, (N - 1) * OTHER_FEATURES + OWN_FEATURES].

        Of each other unit that is alive and in sight: share of health left, position relative to the observer, last
        move, last attack, cooldown, type (one-hot); zeros otherwise. Of the unit itself, while it is alive: share of
        health left, position, cooldown, type.
        moves: float32 [B, N, 2]. actions: int64 [B, N]. What all units did last.
        """
        world, count = self._world, len(self._others)
        known = self._features(moves, actions)
        # Numbers of units over all matches: the observers, int64 [R], and what they observe, int64 [R, N - 1].
        observer = matches * count + units
        others = (matches * count)[:, None] + self._others[units]
        positions, alive = world.positions.reshape(-1, 2), world.alive.ravel()
        sight = world.sight.ravel()[observer, None]
        delta = positions.take(others, axis=0) - positions[observer][:, None]
        visible = (lengths(delta) < sight) & alive[others] & alive[observer, None]
        # The last row of `known` is zeros, for units that are not visible.
        seen = known.take(np.where(visible, others, len(known) - 1), axis=0)
        for axis in range(2):
            seen[..., 1 + axis] = delta[..., axis] / sight * visible
        own = known[np.where(alive[observer], observer, len(known) - 1)]
        own[:, 1:3] /= np.float32(MAP_SIZE)
        # Of the unit itself neither the last move nor the last attack, columns 3 to 5.
        parts = seen.reshape(len(units), others.shape[1] * OTHER_FEATURES), own[:, :3], own[:, 6:]
        return np.concatenate(parts, axis=1)

    def _features(self, moves: Float32s, actions: Ints) -> Float32s:
        """Return what is observed of all units, and a row of zeros: float32 [B * N + 1, features].

        Positions are those on the map, in cells.
        """
        world = self._world
        known = np.zeros((world.health.size + 1, OTHER_FEATURES), np.float32)
        table = known[:-1].reshape(*world.health.shape, OTHER_FEATURES)
        table[..., 0] = world.health / world.full_health
        table[..., 1:3], table[..., 3:5] = world.positions, moves
        table[..., 5] = np.where(actions >= FIRST_ATTACK, actions, 0) / self._last_action
        table[..., 6] = np.clip(world.cooldowns / world.full_cooldown, 0, 1)
        table[..., 7:] = _ONE_HOT[world.types]
        return known

    def masks(self, matches: Ints, units: Ints) -> Bools:
        """Return which actions are legal, of units that have as many opponents: bool [R, FIRST_ATTACK + opponents].

        A unit may move, stop, or attack an opponent that is in range, also before its cooldown is over; a dead unit may
        only stop.
        """
        world = self._world
        count = len(self.opponents[int(len(units) > 0 and bool(self._is_enemy[units[0]]))])
        rows = (matches[:, None], self._targets[units, FIRST_ATTACK : FIRST_ATTACK + count])  # the opponents
        mask = np.repeat(world.alive[matches, units, None], FIRST_ATTACK + count, axis=1)
        distance = lengths(world.positions[rows] - world.positions[matches, units][:, None])
        mask[:, FIRST_ATTACK:] &= (distance < world.attack_range[matches, units, None]) & world.alive[rows]
        mask[:, STOP] = True
        return mask

    def states(self, matches: Ints) -> Float32s:
        """Return global states: float32 [R, N * (OWN_FEATURES + 2)].

        Of each unit: share of health left, position, cooldown, type (one-hot), or zeros if it is dead; then the sides
        of all units (0 or 1), and their types as numbers.
        """
        world, rows = self._world, len(matches)
        alive = world.alive[matches]
        features = np.concatenate(
            [
                (world.health[matches] / world.full_health[matches])[..., None],
                world.positions[matches],
                world.cooldowns[matches][..., None],
                _ONE_HOT[world.types[matches]],
            ],
            axis=2,
        )
        features *= alive[..., None]
        sides = np.broadcast_to(self._is_enemy, alive.shape)
        parts = features.reshape(rows, alive.shape[1] * OWN_FEATURES), sides, world.types[matches]
        return np.concatenate(parts, axis=1, dtype=np.float32)
