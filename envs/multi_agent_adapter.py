"""RLlib's MultiAgentEnv as a batched environment: copies stepped in a loop. PettingZoo's are one in RLlib's wrappers.

Agents act when they have an observation; while none has one, the environment is stepped without actions. An episode
ends by `terminateds` and `truncateds`, of an agent or of `__all__`; a match, by `__all__` or when each agent that has
observed has ended. What RLlib refuses is refused here: an agent that acted, observes again and has no reward; one
that is truncated without a last observation; one that observes or is rewarded after its end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from marl_app.envs.batched import Array, Bools
from marl_app.envs.copies import FAILURES, Copies, Copy, CopyStep, describe
from marl_app.envs.library import declared_agents, declared_space, returned
from marl_app.envs.pettingzoo_spaces import Seat, group_seats, make_seat, shown, to_flag, to_number
from marl_app.envs.separate import require_separate
from marl_app.envs.sides import resolve_sides

ALL = "__all__"
MOST_EMPTY_STEPS = 1_000
"""Steps in a row in which no agent has an observation, after which the environment counts as stuck."""
OLD_API = "this is RLlib's API before Ray 2.3 (2023): port the environment"
RESET, STEP = ("observations", "infos"), ("observations", "rewards", "terminateds", "truncateds", "infos")


class MultiAgent(Copies):
    """`num_matches` copies of a MultiAgentEnv.

    make: a picklable function that makes one. sides: as in `PettingZoo`; None: each agent is a side.
    Raises ValueError for an environment without `possible_agents`, and for a space that the contract excludes.
    """

    def __init__(self, num_matches: int, make: Callable[[], Any], sides: Sequence[Sequence[str]] | None = None) -> None:
        try:
            envs = [make() for _ in range(num_matches)]
        except FAILURES as error:
            raise ValueError(f"making the environment failed: {describe(error)}") from error
        # The first copy says what the agents and spaces of all are.
        title = type(envs[0]).__name__
        require_separate(envs, title)
        if not getattr(envs[0], "possible_agents", None) or not hasattr(envs[0], "get_observation_space"):
            raise ValueError(
                f"{title} is not a MultiAgentEnv with possible_agents: marl_app plays games of several agents"
            )
        possible = declared_agents(envs[0], title)
        try:
            spaces = ("get_observation_space", "get_action_space")
            seats = [
                make_seat(agent, *(declared_space(envs[0], space, agent) for space in spaces)) for agent in possible
            ]
        except ValueError as error:
            raise ValueError(f"{title}: {error}") from error
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
        self._participants = np.zeros(len(seats), np.bool_)  # [agents]: takes part in this match

    def participants(self) -> Bools:
        """Return who was in `env.agents`, had an observation or was rewarded in this match: bool [agents]."""
        return self._participants.copy()

    def reset(self, rng: np.random.Generator) -> None:
        """Start a new match with a seed drawn from `rng`."""
        self._seen.clear()
        self._participants[:] = False
        self._live = np.ones(len(self._seats), np.bool_)  # [agents]: whose episode has not ended
        observations, infos = returned(self._env.reset(seed=int(rng.integers(2**31))), "reset", RESET, OLD_API)
        self._take(self._by_agent("observations", observations), infos)
        # Rewards from before the first action are paid with those of the first step.
        self._early = np.zeros(len(self._seats))
        if not self._acting:
            self._early, _, _, over = self._step_until_ready({})
            if over:
                raise ValueError("the match is over before an agent has an observation: nothing can act")

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
        """Step the environment with the actions of the acting agents, and on until agents can act again."""
        paid, terminated, truncated, over = self._step_until_ready(actions)
        paid, self._early = paid + self._early, np.zeros(len(self._seats))
        return CopyStep(paid, terminated, truncated, over)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def _step_until_ready(self, actions: Mapping[int, Array]) -> CopyStep:
        """Step the environment, then without actions until agents can act or the match is over. Return the sums."""
        size = len(self._seats)
        paid, terminated, truncated = np.zeros(size), np.zeros(size, np.bool_), np.zeros(size, np.bool_)
        for _ in range(MOST_EMPTY_STEPS):
            step = self._step_once(actions)
            paid += step.rewards
            terminated |= step.terminated
            truncated |= step.truncated
            if step.over or self._acting:
                return CopyStep(paid, terminated, truncated, step.over)
            actions = {}
        raise ValueError(f"no agent has had an observation for {MOST_EMPTY_STEPS:,} steps, and the match is not over")

    def _step_once(self, actions: Mapping[int, Array]) -> CopyStep:
        # 1. Step the environment.
        decoded = {self._seats[agent].agent: self._seats[agent].decode_action(actions[agent]) for agent in actions}
        observations, rewards, terminateds, truncateds, infos = returned(self._env.step(decoded), "step", STEP, OLD_API)
        # 2. Whose episodes have ended? They begin with the first observation, and some environments repeat flags.
        going_on = np.zeros(len(self._seats), np.bool_)
        going_on[[agent for agent in self._seen if self._live[agent]]] = True
        dead, cut = self._flags("terminateds", terminateds), self._flags("truncateds", truncateds)
        terminated, truncated = dead & going_on, cut & going_on & ~dead
        # An agent that is flagged with its first observation never plays.
        observed = {
            agent: observation
            for agent, observation in self._by_agent("observations", observations).items()
            if agent in self._seen or not (dead[agent] or cut[agent])
        }
        for agent in observed:
            if not self._live[agent]:
                raise ValueError(
                    f"agent {self._name(agent)!r} observes although its episode has ended: agents of RLlib do not come "
                    "back"
                )
        for agent in np.flatnonzero(truncated).tolist():
            if agent not in observed:
                raise ValueError(
                    f"agent {self._name(agent)!r} is truncated without a last observation, whose value is what would "
                    "have come after: return one with the flag"
                )
        # 3. Rewards, then what is observed: who acts next?
        paid = self._paid(rewards, set(actions).intersection(observed))
        self._live &= ~(terminated | truncated)
        self._take(observed, infos)
        # The match goes on as long as an agent that has observed is live, even if only some of them act next.
        over = bool((dead | cut).all()) or (bool(self._seen) and not any(self._live[agent] for agent in self._seen))
        return CopyStep(paid, terminated, truncated, over)

    def _take(self, observed: Mapping[int, Any], infos: Any) -> None:
        """Convert and keep what agents observe now; those whose episode goes on act next."""
        if not isinstance(infos, Mapping | None):
            raise ValueError(f"infos is {shown(infos)}, not a dict by agent")
        for agent, observation in observed.items():
            self._seen[agent] = self._seats[agent].encode(observation, (infos or {}).get(self._name(agent)))
        self._acting = sorted(agent for agent in observed if self._live[agent])
        # Some environments list in `agents` who plays this match; in others it is never changed, or empty.
        listed = getattr(self._env, "agents", None) or self._index
        self._participants[[self._index[name] for name in listed if name in self._index]] = True
        self._participants[list(observed)] = True

    def _paid(self, rewards: Any, needed: Collection[int]) -> Array:
        """Return the rewards of all agents, float64 [agents]. Raises ValueError if one of `needed` has none."""
        paid = np.zeros(len(self._seats))
        by_agent = self._by_agent("rewards", rewards)
        for agent, reward in by_agent.items():
            # None is RLlib's reward of an agent that has not acted yet.
            if reward is None and agent not in needed:
                continue
            paid[agent] = to_number(reward, "the reward", self._name(agent))
            self._participants[agent] = True
            if paid[agent] and not self._live[agent]:
                raise ValueError(f"agent {self._name(agent)!r} is rewarded although its episode has ended")
        missing = sorted(set(needed).difference(by_agent))
        if missing:
            raise ValueError(f"rewards lacks agent {self._name(missing[0])!r}, which acted and observes the result")
        return paid

    def _flags(self, what: str, values: Any) -> Bools:
        """Return the flags of all agents, bool [agents]: True for all of them with `__all__`."""
        by_agent = self._by_agent(what, values)
        # `__all__` ends the episodes of all agents, whatever their own flags are.
        flags = np.full(len(self._seats), to_flag(values.get(ALL, False), what, ALL))
        for agent, value in by_agent.items():
            flags[agent] |= to_flag(value, what, self._name(agent))
        return flags

    def _by_agent(self, what: str, values: Any) -> dict[int, Any]:
        """Return `values`, a dict of the environment by agent, by index and without `__all__`. Raises ValueError."""
        if not isinstance(values, Mapping):
            raise ValueError(f"{what} is {shown(values)}, not a dict by agent")
        unknown = [name for name in values if name != ALL and name not in self._index]
        if unknown:
            known = ", ".join(map(str, self._index))
            raise ValueError(f"{what} has {shown(unknown[0])}, which is not in possible_agents ({known})")
        return {self._index[name]: value for name, value in values.items() if name != ALL}

    def _name(self, agent: int) -> Hashable:
        return self._seats[agent].agent
