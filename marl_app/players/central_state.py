"""What a centralized critic sees of a match: centralized training, decentralized execution (Lowe et al., 2017).

The environment's own global state where it has one; else the observations of all agents of a side, one after the other
(Yu et al., 2022, "The surprising effectiveness of PPO in cooperative multi-agent games", compare these and more).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from marl_app.envs.batched import BatchedEnv

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def central_state_size(env: BatchedEnv, agents: Sequence[int]) -> int:
    """Numbers in the state that the critic of these agents sees.

    Raises ValueError if they are on sides whose observations together have different sizes.
    """
    if env.state_space is not None:
        return int(np.prod(env.state_space.shape))
    sizes = {}
    for side in env.sides:
        for agent in set(side) & set(agents):
            sizes[sum(_size(env, member) for member in side)] = env.agents[agent]
    if len(sizes) > 1:
        first, second = list(sizes.values())[:2]
        raise ValueError(
            f"algorithm.critic: {first!r} and {second!r} share a network, but their sides see {len(sizes)} different "
            "numbers of things; give them different networks (policies=per_role), or algorithm.critic=local"
        )
    return next(iter(sizes))


class CentralState:
    """The states of an environment's matches, as the critics of its agents see them.

    mask_dead: an agent that has finished is seen as zeros, whatever its last observation was ("death masking" of Yu et
    al., 2022; it concerns observations that are put together, not a state of the environment's own).
    """

    def __init__(self, env: BatchedEnv, mask_dead: bool) -> None:
        self._env = env
        self._mask_dead = mask_dead
        self._group_of = {agent: index for index, group in enumerate(env.groups) for agent in group.agents}

    def of(self, matches: Ints, agents: Ints, finished: Bools) -> Floats:
        """Rows float32 [R, state size]: the state of match `matches[r]` for agent `agents[r]`.

        `finished`: bool [B, agents], whose episode in the running match has ended.
        """
        chosen, row = np.unique(matches, return_inverse=True)
        state = self._env.state(chosen)
        if state is not None:
            rows: Floats = state.reshape(len(chosen), -1)[row]
            return rows
        side_of = {agent: side for side in self._env.sides for agent in side}
        result: Floats | None = None
        for side in {side_of[agent] for agent in np.unique(agents).tolist()}:
            mine = np.isin(agents, side)
            state = self._together(chosen, side, finished)
            if result is None:
                result = np.empty((len(matches), state.shape[1]), np.float32)
            result[mine] = state[row[mine]]
        assert result is not None
        return result

    def _together(self, matches: Ints, side: Sequence[int], finished: Bools) -> Floats:
        """The observations of a side's agents, float32 [K, size]."""
        parts: dict[int, Floats] = {}
        for group in {self._group_of[agent] for agent in side}:
            members = [agent for agent in side if self._group_of[agent] == group]
            seen = self._env.observe(matches.repeat(len(members)), np.tile(members, len(matches)))
            seen = seen.reshape(len(matches), len(members), -1).astype(np.float32)
            if self._mask_dead:
                seen[finished[matches][:, members]] = 0.0
            parts |= {agent: seen[:, place] for place, agent in enumerate(members)}
        return np.concatenate([parts[agent] for agent in side], axis=1)


def _size(env: BatchedEnv, agent: int) -> int:
    return next(int(np.prod(group.observation_space.shape)) for group in env.groups if agent in group.agents)
