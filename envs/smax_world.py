"""The world of SMAX for B matches in parallel: units that move, attack, push each other apart, and die.

Equal to the world of the package `jaxmarl` (0.2.0) up to rounding. All numbers are float32 and computed in the same
order as there, because a sum that is rounded otherwise can be on the other side of a threshold. XLA rounds some pairs
of a product and a sum only once, so in crowds positions still differ by some 1e-6 after an env step. Over a whole match
that adds up and can flip a decision: of 112 matches replayed from the start, 6 had another health at some time.

Shapes: B matches, K chosen matches, N units, allies first. Positions are (x, y) in cells, y points up.
"""

from __future__ import annotations

import numpy as np

from marl_app.envs.batched import Bools, Float32s, Ints
from marl_app.envs.smax_units import of_types

MAP_SIZE = 32.0
"""Width and height of the map, in cells."""
TICKS = 8
"""Ticks of the world per env step."""
TICK_SECONDS = np.float32(1 / 16)
_EPSILON = np.float32(1e-6)  # added to distances that are divided by
_FIELDS = ("speed", "damage", "attack_range", "sight", "radius", "health", "cooldown")
_STATS = {field: of_types(field) for field in _FIELDS}


class World:
    """The units of `num_matches` matches as arrays.

    positions: float32 [B, N, 2]. health, cooldowns: float32 [B, N]; a unit may attack when its cooldown is <= 0.
    alive: bool [B, N]. types: int64 [B, N], indices into `smax_units.UNIT_TYPES`.
    speed, damage, attack_range, sight, radius, full_health, full_cooldown: float32 [B, N], by the types.
    """

    def __init__(self, num_matches: int, units: int) -> None:
        size = (num_matches, units)
        self.positions: Float32s = np.zeros((*size, 2), np.float32)
        self.health, self.cooldowns = np.zeros(size, np.float32), np.zeros(size, np.float32)
        self.alive: Bools = np.zeros(size, np.bool_)
        self.types: Ints = np.zeros(size, np.int64)
        self.speed, self.damage, self.attack_range, self.sight, self.radius, self.full_health, self.full_cooldown = (
            np.zeros(size, np.float32) for _ in range(7)
        )
        # float32 [B, N, N]: two units overlap only if their squared distance is below this.
        self._contact: Float32s = np.zeros((*size, units), np.float32)

    def place(self, matches: Ints, positions: Float32s, types: Ints) -> None:
        """Start matches with units at `positions` [K, N, 2] of `types` [K, N], and push overlapping units apart."""
        self.types[matches] = types
        self.speed[matches], self.damage[matches] = _STATS["speed"][types], _STATS["damage"][types]
        self.attack_range[matches], self.sight[matches] = _STATS["attack_range"][types], _STATS["sight"][types]
        self.full_health[matches], self.full_cooldown[matches] = _STATS["health"][types], _STATS["cooldown"][types]
        self.health[matches], self.cooldowns[matches], self.alive[matches] = _STATS["health"][types], 0, True
        radius = self.radius[matches] = _STATS["radius"][types]
        # A bit larger than the squared sum of the radii: rounding must not hide a pair. No unit overlaps itself.
        contact = (radius[:, :, None] + radius[:, None]) ** 2 * np.float32(1.0001)
        contact[:, np.arange(types.shape[1]), np.arange(types.shape[1])] = 0
        self._contact[matches] = contact
        self.positions[matches] = push_apart(positions, self.alive[matches], radius, contact)

    def advance(self, moves: Float32s, targets: Ints, jitter: Float32s) -> None:
        """Advance all matches by `TICKS` ticks, in which every unit goes on with its action.

        moves: float32 [B, N, 2], directions of length 1, or 0. targets: int64 [B, N], the unit that each unit attacks;
        itself: none. jitter: float32 [TICKS, B, N], in seconds, added to the cooldown of a unit that attacks.
        """
        paths = moves * self.speed[..., None] * TICK_SECONDS
        paths[~self.alive] = 0
        first = np.arange(len(targets))[:, None] * targets.shape[1]
        units = first + np.arange(targets.shape[1])  # int64 [B, N]: numbers of units over all matches
        for tick in range(TICKS):
            # Attacks are decided, and their damage dealt, by where units were and lived at the beginning of the tick.
            self._attack((first + targets).ravel(), (targets != units - first).ravel(), jitter[tick].ravel())
            # Dead units are inside of the map: they died there, and are not pushed.
            self.positions += paths
            np.clip(self.positions, 0, MAP_SIZE, out=self.positions)
            at_wall = (self.positions <= 0) | (self.positions >= MAP_SIZE)
            self.health[at_wall[..., 0] | at_wall[..., 1]] = 0
            self.alive = self.health > 0
            paths[~self.alive] = 0
            self.positions = push_apart(self.positions, self.alive, self.radius, self._contact)

    def _attack(self, targets: Ints, attacking: Bools, jitter: Float32s) -> None:
        """Take health from the targets of units that can attack now, and advance all cooldowns by a tick.

        All arrays are flat, [B * N]: targets are numbers of units over all matches; attacking: bool.
        """
        positions, alive = self.positions.reshape(-1, 2), self.alive.reshape(-1)
        health, cooldowns = self.health.reshape(-1), self.cooldowns.reshape(-1)  # views: changed in place
        # int64 [attackers]: units that attack if their target is in range; then those whose target is.
        ready = np.flatnonzero(attacking & alive & (cooldowns <= 0))
        ready = ready[alive[targets[ready]]]
        ready = ready[lengths(positions[ready] - positions[targets[ready]]) < self.attack_range.reshape(-1)[ready]]
        # Not `cooldown + jitter` itself: as in jaxmarl, which adds a difference, and rounds twice.
        before = cooldowns[ready]
        after = before + ((self.full_cooldown.reshape(-1)[ready] + jitter[ready]) - before)
        cooldowns -= TICK_SECONDS
        cooldowns[ready] = after
        np.subtract.at(health, targets[ready], self.damage.reshape(-1)[ready])
        np.maximum(health, 0, out=health)


def lengths(vectors: Float32s) -> Float32s:
    """Return the lengths of `vectors` [..., 2]: float32 [...]."""
    x, y = vectors[..., 0], vectors[..., 1]
    result: Float32s = np.sqrt(x * x + y * y)
    return result


def push_apart(positions: Float32s, alive: Bools, radius: Float32s, contact: Float32s) -> Float32s:
    """Return positions [K, N, 2] after every unit that is alive was pushed by all units that overlap it.

    Each of two units moves by half of the overlap. alive, radius: [K, N]. contact: [K, N, N], see `World`.
    """
    # float32 [K, N, N]: squared distances, computed in place, which takes half of the time.
    x, y = np.ascontiguousarray(positions[..., 0]), np.ascontiguousarray(positions[..., 1])
    distance, along = x[:, :, None] - x[:, None], y[:, :, None] - y[:, None]
    distance *= distance
    along *= along
    distance += along
    # Few pairs overlap, so only these are computed further. int64 [pairs]: index into [K, N, N].
    near = np.flatnonzero(distance < contact)
    count = alive.shape[1]
    unit, other = near // count, near // (count * count) * count + near % count  # numbers of units over all matches
    both = alive.ravel()[unit] & alive.ravel()[other]
    unit, other = unit[both], other[both]
    flat, radii = positions.reshape(-1, 2), radius.ravel()
    delta = flat[unit] - flat[other]
    overlap = np.maximum((radii[unit] + radii[other]) / (lengths(delta) + _EPSILON) - 1, 0)
    shift = np.stack([np.bincount(unit, delta[:, axis] * overlap, len(flat)) for axis in range(2)], axis=1) / 2
    return (flat + shift.astype(np.float32)).reshape(positions.shape)
