"""Simple Spread: N agents cover N landmarks together and avoid collisions with each other.

Lowe et al. (2017). Equal to `mpe2.simple_spread_v3` (mpe2 1.1.1) step for step; `envs.particles` lists what is left
out. Older forks of the environment give every agent the sum of all rewards and count a collision of each agent with
itself: with N=3 and 25 steps, their return is 2 * (sum over agents here) - 75 for local_ratio 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marl_app.envs.batched import Array, Float32s, Group, Ints
from marl_app.envs.particles import (
    ACCELERATION,
    MOVES,
    Float64s,
    Particles,
    action_directions,
    action_space,
    concatenate_parts,
    observation_space,
    pairwise_distances,
)
from marl_app.envs.settings import require_integer, require_number

_SIZE = 0.15  # radius of an agent


class SimpleSpread(Particles):
    """`num_matches` matches of one team of N agents.

    local_ratio: in [0, 1], the weight of the local reward of an agent, -1 for each agent that it touches. The rest is
        the weight of the team reward: minus the sum over landmarks of the distance to the nearest agent.
    max_cycles: steps per match. continuous_actions: Box actions in [0, 1] instead of Discrete ones.

    Observation float32 [6 N]: velocity and position of the agent, positions of the landmarks and of the other agents
    relative to it, and 2 (N - 1) zeros, which in mpe2 are the messages of the others (all silent here). Actions: 0
    nothing, 1 left, 2 right, 3 down, 4 up.
    """

    title = "simple_spread"

    def __init__(
        self,
        num_matches: int,
        N: int = 3,
        local_ratio: float = 0.5,
        max_cycles: int = 25,
        continuous_actions: bool = False,
    ) -> None:
        require_integer("N", N, 1)
        require_number("local_ratio", local_ratio, 0, 1)
        team = tuple(range(N))
        group = Group("agent", team, observation_space(6 * N), action_space(MOVES, continuous_actions))
        agents = [f"agent_{agent}" for agent in team]
        super().__init__(
            num_matches, [group], agents, [team], [_SIZE] * N, [1.0] * 2 * N, max_cycles, continuous_actions
        )
        self._local_ratio = local_ratio

    def observe(self, matches: Ints, agents: Ints) -> Float32s:
        """Return the observations of agents: float32 [R, 6 N], see the class."""
        landmarks, others = self._relative_positions(matches, agents)
        velocity, position = self.velocities[matches, agents], self.positions[matches, agents]
        return concatenate_parts(velocity, position, landmarks, others, np.zeros_like(others))

    def _forces(self, actions: Sequence[Array]) -> Float64s:
        return action_directions(actions[0], self._continuous) * ACCELERATION

    def _rewards(self) -> Float64s:
        count = len(self.agents)
        agents, landmarks = self.positions[:, :count], self.positions[:, count:]
        # team: [B]. touching: [B, N], the number of other agents that an agent touches; itself, at distance 0, is
        # subtracted.
        team = -pairwise_distances(landmarks, agents).min(axis=2).sum(axis=1)
        touching = (pairwise_distances(agents, agents) < 2 * _SIZE).sum(axis=2) - 1
        rewards: Float64s = team[:, None] * (1 - self._local_ratio) - touching * self._local_ratio
        return rewards
