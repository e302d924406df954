"""The scripted opponent of SMAX: it attacks the closest unit in range until that is dead, else walks toward a unit.

Equal to `create_heuristic_policy` of the package `jaxmarl` (0.2.0) with `attack_mode="closest"`, as in its
`HeuristicEnemySMAX`.
"""

from __future__ import annotations

import numpy as np

from marl_app.envs.batched import Float32s, Ints
from marl_app.envs.smax_views import FIRST_ATTACK
from marl_app.envs.smax_world import MAP_SIZE, World, lengths

_NONE = -1


class HeuristicEnemy:
    """Chooses actions for all enemies of all matches; each enemy decides by what it observes, and remembers its target.

    Shapes: B matches, E enemies, A allies.
    """

    def __init__(self, world: World, allies: int, opponents: Ints) -> None:
        """`opponents` are the allies in the order in which enemies observe them, int64 [A]."""
        self._world, self._allies, self._opponents = world, allies, opponents
        size = (len(world.health), world.health.shape[1] - allies)
        # int64 [B, E]: index into `opponents` of the unit that was attacked last, or _NONE.
        self._target: Ints = np.full(size, _NONE)
        # float32 [B, E, 2]: where an enemy goes that sees no ally.
        self._destination: Float32s = np.zeros((*size, 2), np.float32)

    def start(self, matches: Ints) -> None:
        """Forget the targets in new matches. A destination is the start, rotated by 180 degrees around the center."""
        center = np.float32(MAP_SIZE / 2)
        self._target[matches] = _NONE
        self._destination[matches] = -(self._world.positions[matches, self._allies :] - center) + center

    def choose(self, draws: Float32s) -> Ints:
        """Return the actions of all enemies: int64 [B, E]. draws: float32 [B, E] in (0, 1], which ally to follow."""
        world, enemies = self._world, slice(self._allies, None)
        here, sight = world.positions[:, enemies], world.sight[:, enemies, None]
        # [B, E, A, 2]: from each enemy to each ally, rounded as in its observation, which decides there.
        delta = world.positions[:, None, self._opponents] - here[:, :, None]
        visible = (lengths(delta) < sight) & world.alive[:, None, self._opponents] & world.alive[:, enemies, None]
        delta = delta / sight[..., None] * sight[..., None]
        distance = lengths(delta)
        in_range = visible & (distance < world.attack_range[:, enemies, None])
        # The last target as long as it can be attacked, else the closest one; the first one of equally close ones.
        last = self._target[..., None]
        keeps = np.take_along_axis(in_range, np.maximum(last, 0), axis=2) & (last != _NONE)
        closest = np.where(in_range, distance, np.float32(np.inf)).argmin(axis=2, keepdims=True)
        target = np.where(keeps, last, closest)[..., 0]
        attacks = in_range.any(axis=2)
        self._target = np.where(attacks, target, _NONE)
        # A visible ally, each with the same probability. int64 [B, E]: index into `opponents`; arbitrary without one.
        rank = visible.cumsum(axis=2)
        followed = (rank >= draws[..., None] * rank[..., -1:].astype(np.float32)).argmax(axis=2)
        step = np.take_along_axis(delta, followed[..., None, None], axis=2)[:, :, 0]
        goal = np.where(rank[..., -1:] > 0, step + here, self._destination)
        path = goal - here
        # The move of the four (up, right, down, left) that points best to the goal.
        x, y = path[..., 0], path[..., 1]
        moves = np.stack([y, x, -y, -x], axis=-1).argmax(axis=-1)
        return np.where(attacks, target + FIRST_ATTACK, moves)
