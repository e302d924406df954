"""Simple Tag: slow adversaries hunt faster good agents around obstacles.

Lowe et al. (2017); equal to `mpe2.simple_tag_v3` (mpe2 1.1.1) step for step, see `envs.particles` for what is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marl_app.envs.batched import Array, Floats, Group, Ints
from marl_app.envs.particles import (
    MOVES,
    Doubles,
    Particles,
    action_space,
    directions,
    distances,
    joined,
    observation_space,
)
from marl_app.envs.settings import require_integer


def fine(away: Doubles) -> Doubles:
    """What prey pays in x and in y for its distance from the middle: 0 to 0.9, then up to 1 at 1.0, then up to 10."""
    outside = np.minimum(np.exp(2 * np.minimum(away, 3) - 2), 10)  # 3: no overflow, however far it has run
    return np.where(away < 0.9, 0, np.where(away < 1, (away - 0.9) * 10, outside))


class SimpleTag(Particles):
    """`num_matches` matches of two sides: the adversaries, and the good agents that they hunt.

    num_good, num_adversaries: >= 1. num_obstacles: >= 0. max_cycles: steps per match.
    continuous_actions: Box actions in [0, 1] instead of Discrete ones.

    Observation float32: own velocity and position, the obstacles and the other agents from here, the velocities of the
    other good agents. Actions: 0 nothing, 1 left, 2 right, 3 down, 4 up. Every contact of an adversary with a good
    agent brings +10 to every adversary and -10 to that good agent, which also pays for leaving the arena.

    Scores compare returns: the adversaries win a match with a contact, and also one in which the prey left the arena;
    a match with neither is a draw. So 0.5 is the most that good agents can score.
    """

    title = "simple_tag"

    def __init__(
        self,
        num_matches: int,
        num_good: int = 1,
        num_adversaries: int = 3,
        num_obstacles: int = 2,
        max_cycles: int = 25,
        continuous_actions: bool = False,
    ) -> None:
        require_integer("num_good", num_good, 1)
        require_integer("num_adversaries", num_adversaries, 1)
        require_integer("num_obstacles", num_obstacles, 0)
        count = num_adversaries + num_good
        hunters, prey = tuple(range(num_adversaries)), tuple(range(num_adversaries, count))
        common = 4 + 2 * num_obstacles + 2 * (count - 1)
        moves = action_space(MOVES, continuous_actions)
        groups = [
            Group("adversary", hunters, observation_space(common + 2 * num_good), moves),
            Group("agent", prey, observation_space(common + 2 * (num_good - 1)), moves),
        ]
        super().__init__(
            num_matches,
            groups,
            [f"adversary_{i}" for i in range(num_adversaries)] + [f"agent_{i}" for i in range(num_good)],
            [hunters, prey],
            [0.075] * num_adversaries + [0.05] * num_good + [0.2] * num_obstacles,
            [1.0] * count + [0.9] * num_obstacles,
            max_cycles,
            continuous_actions,
            [1.0] * num_adversaries + [1.3] * num_good,
        )
        self._hunters = num_adversaries
        self._other_good: Ints = np.array([[other for other in prey if other != agent] for agent in prey], np.int64)

    def observe(self, matches: Ints, agents: Ints) -> Floats:
        """What the agents of one group see: float32 [R, numbers], see the class."""
        landmarks, others = self._seen_from(matches, agents)
        velocities = self.velocities[matches]
        if len(agents) and agents[0] >= self._hunters:
            seen = velocities[np.arange(len(matches))[:, None], self._other_good[agents - self._hunters]]
        else:
            seen = velocities[:, self._hunters :]
        return joined(self.velocities[matches, agents], self.positions[matches, agents], landmarks, others, seen)

    def _forces(self, actions: Sequence[Array]) -> Doubles:
        hunters, prey = (directions(chosen, self._continuous) for chosen in actions)
        return np.concatenate([hunters * 3.0, prey * 4.0], axis=1)

    def _rewards(self) -> Doubles:
        hunters, prey = self.positions[:, : self._hunters], self.positions[:, self._hunters : len(self.agents)]
        touching = distances(prey, hunters) < 0.05 + 0.075
        rewards = np.empty((self.num_matches, len(self.agents)))
        rewards[:, : self._hunters] = 10.0 * touching.sum(axis=(1, 2))[:, None]
        rewards[:, self._hunters :] = -10.0 * touching.sum(axis=2) - fine(np.abs(prey)).sum(axis=2)
        return rewards
