"""Where the units of an SMAX match start, and the random types of SMACv2's scenarios.

The distributions are those of `jaxmarl` (0.2.0). SMACv2: Ellis et al., "SMACv2: An improved benchmark for cooperative
multi-agent reinforcement learning" (2023).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marl_app.envs.batched import Float32s, Ints
from marl_app.envs.smax_units import UNIT_TYPES
from marl_app.envs.smax_world import MAP_SIZE

Float64s = NDArray[np.float64]

_SPREAD = 2.0  # units of a group start at most this far from its center, in x and in y
_CORNERS = np.array([(0, 0), (0, MAP_SIZE), (MAP_SIZE, 0), (MAP_SIZE, MAP_SIZE)], np.float64)


def facing_starts(rng: np.random.Generator, count: int, allies: int, enemies: int) -> Float32s:
    """Draw starts of `count` matches, float32 [count, units, 2]: allies around (8, 16), enemies around (24, 16)."""
    centers = np.array([(MAP_SIZE / 4, MAP_SIZE / 2)] * allies + [(MAP_SIZE * 3 / 4, MAP_SIZE / 2)] * enemies)
    return (centers + _noise(rng, count, allies + enemies)).astype(np.float32)


def smacv2_starts(rng: np.random.Generator, count: int, allies: int, enemies: int) -> Float32s:
    """Draw starts of `count` matches, float32 [count, units, 2]: surrounded or reflected, each with probability 1/2."""
    surrounded = _surrounded(rng, count, allies, enemies)
    reflected = _reflected(rng, count, allies, enemies)
    return np.where(rng.random((count, 1, 1)) < 0.5, surrounded, reflected).astype(np.float32)


def smacv2_types(rng: np.random.Generator, count: int, allies: int, enemies: int) -> Ints:
    """Draw types, int64 [count, units]: uniform for allies, the same ones for enemies; enemies without one: marines."""
    types: Ints = np.zeros((count, allies + enemies), np.int64)
    types[:, :allies] = rng.integers(len(UNIT_TYPES), size=(count, allies))
    paired = min(allies, enemies)
    types[:, allies : allies + paired] = types[:, :paired]
    return types


def _surrounded(rng: np.random.Generator, count: int, allies: int, enemies: int) -> Float64s:
    """One side, drawn, starts in the center of the map; the other one in up to four groups toward the corners."""
    units, center = allies + enemies, MAP_SIZE / 2
    # Each group is at a random point between its corner and the center; each unit of the outer side joins any group.
    groups = _CORNERS + rng.random((count, 4, 1)) * (center - _CORNERS)
    outer = groups[np.arange(count)[:, None], rng.integers(4, size=(count, units))]
    allies_outside = rng.random((count, 1)) < 0.5
    outside = (np.arange(units) < allies) == allies_outside
    return np.where(outside[..., None], outer, center) + _noise(rng, count, units)


def _reflected(rng: np.random.Generator, count: int, allies: int, enemies: int) -> Float64s:
    """Allies start anywhere in the left half, each enemy at the mirror image of an ally; further enemies anywhere."""
    starts = rng.random((count, allies + enemies, 2)) * (MAP_SIZE / 2, MAP_SIZE)
    paired = min(allies, enemies)
    starts[:, allies : allies + paired] = starts[:, :paired]
    starts[:, allies:, 0] = MAP_SIZE - starts[:, allies:, 0]
    return starts


def _noise(rng: np.random.Generator, count: int, units: int) -> Float64s:
    return rng.uniform(-_SPREAD, _SPREAD, (count, units, 2))
