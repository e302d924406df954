"""Simple Tag: slow adversaries hunt faster good agents around obstacles.

Lowe et al. (2017). Equal to `mpe2.simple_tag_v3` (mpe2 1.1.1) step for step; `envs.particles` lists what is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marl_app.envs.batched import Array, Float32s, Group, Ints
from marl_app.envs.particles import (
    MOVES,
    Float64s,
    Particles,
    action_directions,
    action_space,
    concatenate_parts,
    observation_space,
    pairwise_distances,
)
from marl_app.envs.settings import require_integer


def boundary_penalty(away: Float64s) -> Float64s:
    """Return the penalty of a good agent per coordinate, for `away` = abs(coordinate) of any shape.

    0 up to 0.9, then linear up to 1 at 1.0, then exp(2 away - 2), at most 10.
    """
    # exp(4) > 10, so the inner minimum changes no value; it only avoids overflow far outside of the arena.
    outside = np.minimum(np.exp(2 * np.minimum(away, 3) - 2), 10)
    return np.where(away < 0.9, 0, np.where(away < 1, (away - 0.9) * 10, outside))


class SimpleTag(Particles):
    """`num_matches` matches of two sides: the adversaries, and the good agents, their prey.

    num_good, num_adversaries: >= 1. num_obstacles: >= 0. max_cycles: steps per match.
    continuous_actions: Box actions in [0, 1] instead of Discrete ones.

    Observation float32: velocity and position of the agent, positions of the obstacles and of the other agents relative
    to it, velocities of the other good agents. Actions: 0 nothing, 1 left, 2 right, 3 down, 4 up. In each step every
    contact of an adversary with a good agent gives +10 to every adversary and -10 to that good agent, which also pays
    `boundary_penalty` for leaving the arena.

    Scores compare returns: the adversaries win a match with a contact, and also a match in which a good agent left the
    arena; a match with neither is a draw. So 0.5 is the highest score of the good agents.
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
        # Numbers that both groups observe; adversaries also see the velocity of every good agent, good agents of the
        # other good agents.
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
        self._hunters = num_adversaries  # agents below this index are adversaries
        # int64 [num_good, num_good - 1]: for each good agent, the indices of the other good agents.
        self._other_good: Ints = np.array([[other for other in prey if other != agent] for agent in prey], np.int64)

    def observe(self, matches: Ints, agents: Ints) -> Float32s:
        """Return the observations of agents of one group: float32 [R, numbers], see the class."""
        landmarks, others = self._relative_positions(matches, agents)
        velocities = self.velocities[matches]  # [R, agents, 2]: of all agents of each row's match
        velocity, position = self.velocities[matches, agents], self.positions[matches, agents]
        if len(agents) and agents[0] >= self._hunters:
            seen = velocities[np.arange(len(matches))[:, None], self._other_good[agents - self._hunters]]
        else:
            seen = velocities[:, self._hunters :]
        return concatenate_parts(velocity, position, landmarks, others, seen)

    def _forces(self, actions: Sequence[Array]) -> Float64s:
        hunters, prey = (action_directions(chosen, self._continuous) for chosen in actions)
        return np.concatenate([hunters * 3.0, prey * 4.0], axis=1)  # mpe2's accelerations

    def _rewards(self) -> Float64s:
        hunters, prey = self.positions[:, : self._hunters], self.positions[:, self._hunters : len(self.agents)]
        touching = (
            pairwise_distances(prey, hunters) < 0.05 + 0.075
        )  # bool [B, good, adversaries]: closer than both radii
        rewards = np.empty((self.num_matches, len(self.agents)))
        rewards[:, : self._hunters] = 10.0 * touching.sum(axis=(1, 2))[:, None]
        rewards[:, self._hunters :] = -10.0 * touching.sum(axis=2) - boundary_penalty(np.abs(prey)).sum(axis=2)
        return rewards
