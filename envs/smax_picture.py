"""A picture of an SMAX match."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marl_app.envs.batched import Bools
from marl_app.envs.smax_world import MAP_SIZE, World

_PIXELS = 416  # height and width; 13 pixels per cell
_GROUND = np.array((250, 250, 250), np.float64)
_ALLY, _ENEMY = np.array((46, 134, 171), np.float64), np.array((209, 73, 91), np.float64)
_PALEST = 0.3  # how much of its color a unit has with almost no health


def draw(world: World, match: int, shown: Bools, allies: int, agent: int | None) -> NDArray[np.uint8]:
    """Return a picture uint8 [height, width, 3] of the units in `shown`, bool [units]; the agent has a black rim."""
    scale = _PIXELS / MAP_SIZE
    picture = np.tile(_GROUND, (_PIXELS, _PIXELS, 1))
    for unit in np.flatnonzero(shown).tolist():
        x, y = world.positions[match, unit].astype(np.float64) * scale - 0.5
        row, radius = _PIXELS - 1 - y, float(world.radius[match, unit]) * scale
        # The square around the unit, cut off at the edges of the map; it is empty for a unit off the map.
        rows, columns = (
            np.arange(max(int(center - radius) - 3, 0), max(min(int(center + radius) + 4, _PIXELS), 0))
            for center in (row, x)
        )
        distance = np.hypot(columns - x, rows[:, None] - row)
        # 1 inside, 0 outside, and in between on the pixels of the edge.
        cover = np.clip(radius - distance + 0.5, 0, 1)[..., None]
        left = _PALEST + (1 - _PALEST) * float(world.health[match, unit] / world.full_health[match, unit])
        color = _GROUND + left * ((_ALLY if unit < allies else _ENEMY) - _GROUND)
        patch = picture[rows[:, None], columns]
        patch += (color - patch) * cover
        if unit == agent:
            patch[(distance > radius) & (distance < radius + 2)] = 0
        picture[rows[:, None], columns] = patch
    return picture.astype(np.uint8)
