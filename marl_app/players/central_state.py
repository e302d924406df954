"""The input of a centralized critic, for centralized training with decentralized execution (Lowe et al., 2017).

It is the environment's global state if it has one, else the concatenated observations of all agents of a side (Yu et
al., 2022, "The surprising effectiveness of PPO in cooperative multi-agent games", compare these and others).

Shapes: B matches of the environment; K of them; R rows (match, agent).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from marl_app.envs.batched import BatchedEnv
from marl_app.players.modules.scale import scaling_of

Bools = NDArray[np.bool_]
Float32s = NDArray[np.float32]
Ints = NDArray[np.int64]


def central_state_size(env: BatchedEnv, agents: Sequence[int]) -> int:
    """Return the size of the state that the critic of these agents sees.

    Raises ValueError if the agents are on sides whose concatenated observations differ in size.
    """
    if env.state_space is not None:
        return int(np.prod(env.state_space.shape))
    # Without a global state: concatenated observations of a side. One critic needs one size.
    sizes: dict[int, str] = {}  # size -> an agent whose critic would see a state of that size
    for side in env.sides:
        for agent in set(side) & set(agents):
            sizes[sum(_observation_size(env, member) for member in side)] = env.agents[agent]
    if len(sizes) > 1:
        first, second = list(sizes.values())[:2]
        raise ValueError(
            f"algorithm.critic: {first!r} and {second!r} share a network, but the observations of their sides have "
            f"{len(sizes)} different sizes; give them different networks (policies=per_role), or algorithm.critic=local"
        )
    return next(iter(sizes))


class CentralState:
    """The global states of an environment's matches, as inputs of centralized critics.

    scale: observations, or the environment's state, are scaled by the bounds of their space (`modules/scale.py`).
    mask_dead: observations of agents that have finished are replaced by zeros ("death masking" of Yu et al., 2022).
    This holds for concatenated observations, not for the environment's global state.
    """

    def __init__(self, env: BatchedEnv, mask_dead: bool, scale: bool) -> None:
        self._env = env
        self._mask_dead = mask_dead
        self._state_scaling = scaling_of(env.state_space) if scale and env.state_space is not None else None
        self._scalings = [scaling_of(group.observation_space) if scale else None for group in env.groups]
        self._group_of = {agent: index for index, group in enumerate(env.groups) for agent in group.agents}

    def states_for(self, matches: Ints, agents: Ints, finished: Bools) -> Float32s:
        """Return float32 [R, state size]: row r is the state of match `matches[r]` for agent `agents[r]`.

        `finished`: bool [B, agents], whether the agent's episode in the running match has ended.
        """
        # Compute the state of each match once: `match_index[r]` is the index of row r's match in `unique_matches` [K].
        unique_matches, match_index = np.unique(matches, return_inverse=True)
        state = self._env.state(unique_matches)
        if state is not None:
            if self._state_scaling is not None:
                state = self._state_scaling(state)
            rows: Float32s = state.reshape(len(unique_matches), -1)[match_index]
            return rows

        # Without a global state: the joint observation of each side, for the rows of that side's agents.
        side_of = {agent: side for side in self._env.sides for agent in side}
        result: Float32s | None = None
        for side in {side_of[agent] for agent in np.unique(agents).tolist()}:
            side_rows = np.isin(agents, side)  # [R] bool
            state = self._joint_observations(unique_matches, side, finished)
            if result is None:
                result = np.empty((len(matches), state.shape[1]), np.float32)
            result[side_rows] = state[match_index[side_rows]]
        assert result is not None
        return result

    def _joint_observations(self, matches: Ints, side: Sequence[int], finished: Bools) -> Float32s:
        """Return the observations of a side's agents in matches [K], concatenated: float32 [K, size]."""
        parts: dict[int, Float32s] = {}  # agent -> [K, observation size]
        for group in {self._group_of[agent] for agent in side}:
            members = [agent for agent in side if self._group_of[agent] == group]
            observations = self._env.observe(matches.repeat(len(members)), np.tile(members, len(matches)))
            scaling = self._scalings[group]
            # Both copy: the zeros below do not change the environment's array.
            observations = observations.astype(np.float32) if scaling is None else scaling(observations)
            observations = observations.reshape(len(matches), len(members), -1)  # [K, members, observation size]
            if self._mask_dead:
                observations[finished[matches][:, members]] = 0.0
            parts |= {agent: observations[:, index] for index, agent in enumerate(members)}
        return np.concatenate([parts[agent] for agent in side], axis=1)


def _observation_size(env: BatchedEnv, agent: int) -> int:
    return next(int(np.prod(group.observation_space.shape)) for group in env.groups if agent in group.agents)
