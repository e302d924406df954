"""The physics of the multi-agent particle environments (MPE) for B matches in parallel: bodies that repel each other.

Lowe et al., "Multi-agent actor-critic for mixed cooperative-competitive environments" (2017); equal to the world of the
package `mpe2` (1.1.1) step for step, in float64. Where we differ: an action outside its space is an error (mpe2 clips
it), two bodies at exactly the same point exert no force (NaN there), pictures are plainer, and curricula, early success
and partial observability are left out.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from marl_app.envs.batched import (
    ActionSpace,
    Array,
    BatchedEnv,
    Bools,
    Float32s,
    Group,
    Ints,
    Step,
    scores_from_returns,
)
from marl_app.envs.board import number_name
from marl_app.envs.legal import require_actions
from marl_app.envs.settings import require_bool, require_integer

Float64s = NDArray[np.float64]

DT, DAMPING = 0.1, 0.25
CONTACT_FORCE, CONTACT_MARGIN = 1e2, 1e-3
ACCELERATION = 5.0
MOVES = 5
"""Discrete: 0 nothing, 1 left, 2 right, 3 down, 4 up. Continuous: the strength of each move, in [0, 1]."""
_MOVE_NAMES = ("nothing", "left", "right", "down", "up")
_COLORS = np.array([(209, 73, 91), (46, 134, 171), (102, 161, 130), (141, 90, 151)], np.float64)
"""Of the agents of each group, again from the first for more."""
_LANDMARK = np.array((95, 107, 115), np.float64)
_SMALL = 0.05  # radius at which bodies are drawn that do not collide
_PIXELS = 400  # height and width of a picture
_DIRECTIONS: Float64s = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)], np.float64)


def pairwise_distances(first: Float64s, second: Float64s) -> Float64s:
    """Return the distances of `first` [B, n, 2] from `second` [B, m, 2]: [B, n, m]."""
    x = first[:, :, None, 0] - second[:, None, :, 0]
    y = first[:, :, None, 1] - second[:, None, :, 1]
    lengths: Float64s = np.sqrt(x * x + y * y)
    return lengths


def contact_forces(positions: Float64s, sizes: Float64s, movable: int) -> Float64s:
    """Return the repulsive forces on the first `movable` bodies: [B, movable, 2].

    positions: [B, bodies, 2]. sizes: [bodies], the radii. The force is a softplus of the overlap: about linear where
    bodies overlap, almost 0 where they do not.
    """
    force = np.zeros((len(positions), movable, 2))
    pairs = [pair for pair in combinations(range(len(sizes)), 2) if pair[0] < movable]
    if not pairs:
        return force
    # delta, push: [B, pairs, 2]; distance, depth: [B, pairs].
    first, second = (list(indices) for indices in zip(*pairs, strict=True))
    delta = positions[:, first] - positions[:, second]
    distance = np.sqrt(delta[..., 0] ** 2 + delta[..., 1] ** 2)
    depth = np.logaddexp(0, (sizes[first] + sizes[second] - distance) / CONTACT_MARGIN) * CONTACT_MARGIN
    # The maximum only avoids 0 / 0: at distance 0 delta is 0, and so is the force.
    push = CONTACT_FORCE * delta / np.maximum(distance, 1e-300)[..., None] * depth[..., None]
    # Pair by pair: a body is in several pairs, of which a single indexed += would keep only the last.
    for index, (body, other) in enumerate(pairs):
        force[:, body] += push[:, index]
        if other < movable:
            force[:, other] -= push[:, index]
    return force


def move_bodies(positions: Float64s, velocities: Float64s, force: Float64s, max_speed: Float64s | None) -> None:
    """Move bodies of mass 1 by a time step, changing `positions` and `velocities` in place.

    positions, velocities, force: [B, n, 2]. max_speed: [n], or None = no limit.
    """
    # mpe2 moves bodies by the old velocities first.
    positions += velocities * DT
    velocities *= 1 - DAMPING
    velocities += force * DT
    if max_speed is not None:
        speed = np.sqrt(velocities[..., 0] ** 2 + velocities[..., 1] ** 2)
        fast = speed > max_speed
        velocities *= np.where(fast, max_speed / np.where(fast, speed, 1.0), 1.0)[..., None]


def action_directions(actions: Array, continuous: bool) -> Float64s:
    """Return the directions of moves, float64 [..., 2]; actions are int64 [...], or float32 [..., 5] if continuous."""
    if continuous:
        return np.stack([actions[..., 2] - actions[..., 1], actions[..., 4] - actions[..., 3]], -1).astype(np.float64)
    return _DIRECTIONS[actions]


def observation_space(size: int) -> spaces.Box:
    """Return a Box of unbounded float32 numbers, [size]."""
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)


def action_space(size: int, continuous: bool) -> ActionSpace:
    """Return a Discrete space of `size` actions, or a Box with the strength of each in [0, 1]."""
    return spaces.Box(0, 1, (size,), np.float32) if continuous else spaces.Discrete(size)


class Particles(BatchedEnv):
    """`num_matches` worlds of agents and landmarks; subclasses define groups, observations, forces and rewards.

    Bodies are the agents, then the landmarks. groups: in the order of the agents.
    sizes: radii of the bodies that collide; these are the first len(sizes) bodies.
    reach: [bodies], bodies start uniformly in [-reach, reach] in x and in y.

    A match is truncated after `max_cycles` steps. The state is all observations, agent by agent.
    """

    title: str
    """The beginning of error messages."""

    def __init__(
        self,
        num_matches: int,
        groups: Sequence[Group],
        agents: Sequence[str],
        sides: Sequence[Sequence[int]],
        sizes: Sequence[float],
        reach: Sequence[float],
        max_cycles: int,
        continuous_actions: bool,
        max_speed: Sequence[float] | None = None,
    ) -> None:
        require_integer("max_cycles", max_cycles, 1)
        require_bool("continuous_actions", continuous_actions)
        self.num_matches, self.agents, self.groups = num_matches, tuple(agents), tuple(groups)
        self.sides = tuple(tuple(side) for side in sides)
        self.state_space = observation_space(sum(len(g.agents) * g.observation_space.shape[0] for g in groups))
        count = len(agents)
        self.positions: Float64s = np.zeros((num_matches, len(reach), 2))  # [B, bodies, 2]
        self.velocities: Float64s = np.zeros((num_matches, count, 2))
        self._sizes, self._reach = np.array(sizes, np.float64), np.array(reach, np.float64)
        self._max_speed = None if max_speed is None else np.array(max_speed, np.float64)
        self._max_cycles, self._continuous = max_cycles, continuous_actions
        others = [[other for other in range(count) if other != agent] for agent in range(count)]
        # int64 [agents, agents - 1]: for each agent the indices of the other agents, in order.
        self._others: Ints = np.array(others, np.int64)
        self._steps: Ints = np.zeros(num_matches, np.int64)
        self._returns = np.zeros((num_matches, count), np.float32)

    def reset(self, rng: np.random.Generator, matches: Ints | None = None) -> None:
        """Put all bodies of all or the given matches at random positions, at rest."""
        chosen = slice(None) if matches is None else matches
        count = self.num_matches if matches is None else len(matches)
        self.positions[chosen] = rng.uniform(-1, 1, (count, *self.positions.shape[1:])) * self._reach[:, None]
        self.velocities[chosen] = 0
        self._steps[chosen] = 0
        self._returns[chosen] = 0

    def acting(self) -> Bools:
        """Return True for all agents: bool [B, agents]."""
        return np.ones((self.num_matches, len(self.agents)), np.bool_)

    def action_mask(self, matches: Ints, agents: Ints) -> None:
        """Return None: every action is always legal."""
        return None

    def step(self, actions: Sequence[Array], rng: np.random.Generator) -> Step:
        """Advance the worlds by 0.1 s; `rng` is not used. Raises ValueError for an action outside its space."""
        # Forces of the agents and of contacts, then motion, then rewards for the new positions, as in mpe2.
        require_actions(self.title, self, actions)
        force = self._forces(actions)
        force += contact_forces(self.positions[:, : len(self._sizes)], self._sizes, len(self.agents))
        move_bodies(self.positions[:, : len(self.agents)], self.velocities, force, self._max_speed)
        rewards = self._rewards().astype(np.float32)
        self._returns += rewards
        self._steps += 1
        truncated = self._steps >= self._max_cycles
        return Step.of_matches(rewards, np.zeros_like(truncated), truncated)

    def scores(self, matches: Ints) -> Float32s:
        """Return the scores, float32 [K, sides], from the undiscounted returns of the sides."""
        return scores_from_returns(self._returns[matches], self.sides)

    def state(self, matches: Ints) -> Float32s:
        """Return all observations of the matches, agent by agent: float32 [K, state size]."""
        parts = []
        for group in self.groups:
            rows = self.observe(matches.repeat(len(group.agents)), np.tile(group.agents, len(matches)))
            parts.append(rows.reshape(len(matches), len(group.agents) * rows.shape[1]))
        return np.concatenate(parts, axis=1)

    def render(self, match: int, agent: int | None = None) -> NDArray[np.uint8]:
        """Return a picture of the arena: agents in the color of their group, landmarks gray; y points up.

        The agent that it is for has a black rim. It shows at least [-1.3, 1.3] in x and y, and more if a body is
        further out.
        """
        positions = self.positions[match]
        reach = max(1.3, float(np.abs(positions).max()) + 0.1)
        line = np.linspace(-reach, reach, _PIXELS)
        x, y = line[None, :], -line[:, None]  # of the pixels
        picture = np.full((_PIXELS, _PIXELS, 3), 250.0)
        group_of = {member: index for index, group in enumerate(self.groups) for member in group.agents}
        for body in range(len(positions) - 1, -1, -1):  # agents above landmarks
            radius = self._sizes[body] if body < len(self._sizes) else _SMALL
            color = _COLORS[group_of[body] % len(_COLORS)] if body in group_of else _LANDMARK
            distance = np.hypot(x - positions[body, 0], y - positions[body, 1])
            # 1 inside, 0 outside, and in between on the pixels of the edge.
            cover = np.clip((radius - distance) * _PIXELS / (2 * reach) + 0.5, 0, 1)[..., None]
            picture += (color - picture) * cover
            if body == agent:
                picture[(distance > radius) & (distance < radius + 6 * reach / _PIXELS)] = 0
        return picture.astype(np.uint8)

    def action_name(self, match: int, agent: int, action: Any, viewer: int | None = None) -> str:
        """Return the direction of a Discrete move, else the number."""
        space = next(group.action_space for group in self.groups if agent in group.agents)
        is_move = isinstance(space, spaces.Discrete) and space.n == MOVES
        return _MOVE_NAMES[int(action)] if is_move else number_name(action)

    @abstractmethod
    def _forces(self, actions: Sequence[Array]) -> Float64s:
        """Return the forces of the actions of the agents: float64 [B, agents, 2]."""

    @abstractmethod
    def _rewards(self) -> Float64s:
        """Return the rewards of the agents for the current positions: float64 [B, agents]."""

    def _relative_positions(self, matches: Ints, agents: Ints) -> tuple[Float64s, Float64s]:
        """Return positions relative to `agents` [R]: landmarks [R, landmarks, 2], other agents [R, agents - 1, 2]."""
        positions, rows = self.positions[matches], np.arange(len(matches))
        relative = positions - positions[rows, agents][:, None]
        return relative[:, len(self.agents) :], relative[rows[:, None], self._others[agents]]


def concatenate_parts(*parts: Array) -> Float32s:
    """Flatten and concatenate parts [R, ...] of observations: float32 [R, numbers]."""
    rows = len(parts[0])
    return np.concatenate([part.reshape(rows, math.prod(part.shape[1:])) for part in parts], 1, dtype=np.float32)
