"""RLlib's MultiAgentEnv as a batched environment: copies stepped in a loop. PettingZoo's are one in RLlib's wrappers.

Agents act when they have an observation. An episode ends by `terminateds` and `truncateds`, of an agent or of
`__all__`. An agent without an observation at the end of the match is bootstrapped from its last one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from marl_app.envs.batched import Array, Bools
from marl_app.envs.copies import Copies, Copy, CopyStep
from marl_app.envs.pettingzoo_spaces import Seat, group_seats, make_seat, shown, to_flag, to_number
from marl_app.envs.separate import require_separate
from marl_app.envs.sides import resolve_sides

ALL = "__all__"


class MultiAgent(Copies):
    """`num_matches` copies of a MultiAgentEnv.

    make: a picklable function that makes one. sides: as in `PettingZoo`; None: each agent is a side.
    Raises ValueError for an environment without `possible_agents`, and for a space that the contract excludes.
    """

    def __init__(self, num_matches: int, make: Callable[[], Any], sides: Sequence[Sequence[str]] | None = None) -> None:
        envs = [make() for _ in range(num_matches)]
        # The first copy says what the agents and spaces of all are.
        possible = list(getattr(envs[0], "possible_agents", None) or ())
        title = type(envs[0]).__name__
        require_separate(envs, title)
        if not possible or not hasattr(envs[0], "get_observation_space"):
            raise ValueError(
                f"{title} is not a MultiAgentEnv with possible_agents: marl_app plays games of several agents"
            )
        seats = [
            make_seat(agent, envs[0].get_observation_space(agent), envs[0].get_action_space(agent))
            for agent in possible
        ]
        agents = [str(agent) for agent in possible]
        copies = [MultiAgentCopy(env, seats) for env in envs]
        super().__init__(title, copies, agents, group_seats(seats), resolve_sides(agents, sides))
        if any(seat.translates for seat in seats):
            self.raw_spaces = tuple((seat.raw_observation_space, seat.raw_action_space) for seat in seats)


class MultiAgentCopy(Copy):
    """A MultiAgentEnv that plays one match after another. Agents are indices into `seats`."""

    def __init__(self, env: Any, seats: Sequence[Seat]) -> None:
        self._env = env
        self._seats = seats
        self._index: dict[Hashable, int] = {seat.agent: index for index, seat in enumerate(seats)}
        self._seen: dict[int, tuple[Array, Bools | None]] = {}  # agent -> its newest observation and mask
        self._acting: list[int] = []

    def reset(self, rng: np.random.Generator) -> None:
        """Start a new match with a seed drawn from `rng`."""
        self._seen.clear()
        self._live = np.ones(len(self._seats), np.bool_)  # [agents]: whose episode has not ended
        observations, infos = self._env.reset(seed=int(rng.integers(2**31)))
        self._take(observations, infos)

    def acting(self) -> Sequence[int]:
        """Return the agents that have an observation to act on."""
        return self._acting

    def observe(self, agent: int) -> Array:
        """Return the newest observation, flattened if it is structured; zeros for an agent that has had none."""
        space = self._seats[agent].observation_space
        return self._seen[agent][0] if agent in self._seen else np.zeros(space.shape, space.dtype)

    def mask(self, agent: int) -> Bools | None:
        """Return the action mask in the observation or the info dict; None without one."""
        return self._seats[agent].require_mask(self._seen[agent][1])

    def step(self, actions: Mapping[int, Array], rng: np.random.Generator) -> CopyStep:
        """Step the environment with the actions of the acting agents."""
        decoded = {self._seats[agent].agent: self._seats[agent].decode_action(actions[agent]) for agent in actions}
        observations, rewards, terminateds, truncateds, infos = self._env.step(decoded)
        # Some environments reward agents whose episodes have ended, or repeat their flags: only live agents count.
        paid = np.zeros(len(self._seats))
        for name, reward in rewards.items():
            if self._live[agent := self._agent(name)]:
                paid[agent] = to_number(reward, "the reward", name)
        terminated = self._flags(terminateds) & self._live
        truncated = self._flags(truncateds) & self._live & ~terminated
        self._live &= ~(terminated | truncated)
        self._take(observations, infos)
        # The match goes on as long as an agent is live, even if only some of them act next.
        over = not self._live.any()
        if not over and not self._acting:
            raise ValueError("no agent has an observation, and the match is not over: nothing can act")
        return CopyStep(paid, terminated, truncated, over)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def _take(self, observations: Mapping[Hashable, Any], infos: Mapping[Hashable, Any]) -> None:
        """Convert and keep what agents observe now; those whose episode goes on act next."""
        for name, observation in observations.items():
            agent = self._agent(name)
            self._seen[agent] = self._seats[agent].encode(observation, infos.get(name))
        self._acting = sorted(agent for name in observations if self._live[agent := self._agent(name)])

    def _flags(self, values: Mapping[Hashable, Any]) -> Bools:
        """Return the flags of all agents, bool [agents]: True for all of them with `__all__`."""
        # `__all__` ends the episodes of all agents, whatever their own flags are.
        flags = np.full(len(self._seats), to_flag(values.get(ALL, False), "the end", ALL))
        for name, value in values.items():
            if name != ALL:
                flags[self._agent(name)] |= to_flag(value, "the end", name)
        return flags

    def _agent(self, name: Hashable) -> int:
        if name not in self._index:
            raise ValueError(f"{shown(name)} is not in possible_agents ({', '.join(map(str, self._index))})")
        return self._index[name]
