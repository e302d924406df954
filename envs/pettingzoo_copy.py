"""PettingZoo's AEC and Parallel interfaces as an `envs.copies.Copy`: one environment that plays one match at a time.

Terminations, truncations, observations and rewards are those of each agent, as PettingZoo's API documents them. A match
is over when no agent is left. What the environment hands out is converted when it is taken and never kept, so an
environment may use its arrays again. What breaks the API is a ValueError that names the agent.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from marl_app.envs.batched import Array, Bools
from marl_app.envs.board import Board, Rendering, number_name
from marl_app.envs.copies import Copy, CopyStep, Float64s
from marl_app.envs.library import returned
from marl_app.envs.pettingzoo_rendering import hides_from, known_name, own_text
from marl_app.envs.pettingzoo_spaces import Seat, shown, to_flag, to_number

RENDER_MODES = ("ansi", "rgb_array")
"""PettingZoo's names for texts and pictures."""

OLD_API = "this is the API of PettingZoo before 1.22 (2022): port the environment, or wrap it with shimmy"
RESET, STEP = ("observations", "infos"), ("observations", "rewards", "terminations", "truncations", "infos")


class PettingZooCopy(Copy):
    """The common part of the AEC and the Parallel interface. Agents are indices into `seats`."""

    def __init__(self, env: Any, seats: Sequence[Seat], game: str = "") -> None:
        self._env = env
        self._seats = seats
        self._game = game  # name in the tables of `pettingzoo_rendering`
        self._index: dict[Hashable, int] = {seat.agent: index for index, seat in enumerate(seats)}
        # The newest observation and mask of each agent in this match; none for an agent that has not joined.
        self._seen: dict[int, tuple[Array, Bools | None]] = {}
        self._participants = np.zeros(len(seats), np.bool_)  # [agents]: has been live in this match

    def participants(self) -> Bools:
        """Return which agents have been live in this match: bool [agents]."""
        return self._participants.copy()

    def observe(self, agent: int) -> Array:
        """Return the newest observation, flattened if it is structured; zeros for an agent that has not joined."""
        if agent not in self._seen:
            seat = self._seats[agent]
            return np.zeros(seat.observation_space.shape, seat.observation_space.dtype)
        return self._seen[agent][0]

    def mask(self, agent: int) -> Bools | None:
        """Return the action mask of the observation, or else of the info; None if neither has a mask."""
        return self._seats[agent].require_mask(self._seen[agent][1])

    def state(self) -> Array:
        """Return the `state()` of the environment as float32."""
        return np.array(self._env.state(), np.float32)

    def render(self, agent: int | None) -> Rendering | None:
        """Return the environment's text, board or picture, or what the agent sees of a card game.

        None without `render_mode`. A match of a card game that is not over is drawn for the agent that may see it only.
        """
        if getattr(self._env, "render_mode", None) not in RENDER_MODES:
            return None
        # The picture of a card game has all hands: a player gets a text of its own cards instead.
        if hides_from(self._game, agent):
            assert agent is not None
            return own_text(self._game, self._env, agent)
        rendering = self._env.render()
        if isinstance(rendering, Board):
            return rendering
        if isinstance(rendering, np.ndarray):
            return np.array(rendering[..., :3], np.uint8)  # without alpha, and not the environment's own array
        return None if rendering is None else str(rendering)

    def action_name(self, agent: int, action: Any, viewer: int | None) -> str | None:
        """Return what people call the action: by the environment's own method, by a table, or the number of it."""
        seat = self._seats[agent]
        decoded = seat.decode_action(np.asarray(action))
        if (own := getattr(self._env, "action_name", None)) is not None:
            return str(own(seat.agent, decoded))
        return known_name(self._game, self._env, agent, action) or number_name(decoded)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    @abstractmethod
    def _raw(self, agent: int) -> Any:
        """Return the raw observation of the agent now. Raises ValueError if there is none."""

    @abstractmethod
    def _info(self, agent: int) -> Any:
        """Return the info dict of the agent now."""

    def _take(self, agents: Collection[int]) -> None:
        """Convert and keep what these agents observe now."""
        for agent in agents:
            self._seen[agent] = self._seats[agent].encode(self._raw(agent), self._info(agent))

    def _live(self) -> list[int]:
        """Return the agents that the environment lists as live, in the order of the seats, and count them in."""
        try:
            live = sorted(self._index[name] for name in self._env.agents)
        except KeyError as error:
            raise ValueError(
                f"env.agents has {error.args[0]!r}, which is not in possible_agents {self._names()}"
            ) from None
        self._participants[live] = True
        return live

    def _names(self) -> str:
        return f"({', '.join(map(str, self._index))})"

    def _by_agent(self, what: str, values: Any, needed: Collection[int]) -> dict[int, Any]:
        """Return `values`, a dict of the environment by agent, by index.

        Raises ValueError if it is no dict, has a key that is not an agent, or lacks one of the agents `needed`.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"{what} is {shown(values)}, not a dict by agent")
        unknown = [key for key in values if key not in self._index]
        if unknown:
            hint = "; PettingZoo has a flag for each agent" if unknown == ["__all__"] else ""
            raise ValueError(f"{what} has {unknown[0]!r}, which is not one of the agents {self._names()}{hint}")
        missing = [agent for agent in sorted(needed) if self._seats[agent].agent not in values]
        if missing:
            raise ValueError(f"{what} lacks agent {self._seats[missing[0]].agent!r}")
        return {self._index[key]: value for key, value in values.items()}

    def _flags(self, what: str, values: Any, needed: Collection[int]) -> Bools:
        """Return terminations or truncations: bool [agents], False for agents that have none."""
        flags = np.zeros(len(self._seats), np.bool_)
        for agent, value in self._by_agent(what, values, needed).items():
            flags[agent] = to_flag(value, what, self._seats[agent].agent)
        return flags

    def _number(self, what: str, agent: int, value: Any) -> float:
        """Return a reward. Raises ValueError, naming the agent, if it is not one number."""
        return to_number(value, what, self._seats[agent].agent)


class ParallelCopy(PettingZooCopy):
    """A copy with the Parallel interface: all live agents act in every step."""

    def reset(self, rng: np.random.Generator) -> None:
        """Start a new match with a seed drawn from `rng`."""
        self._seen.clear()
        self._lingering: set[int] = set()  # agents in env.agents whose episode has ended
        self._participants[:] = False
        observations, infos = returned(self._env.reset(seed=int(rng.integers(2**31))), "reset", RESET, OLD_API)
        self._acting = self._live()
        if not self._acting:
            raise ValueError("no agent is live after reset(): env.agents is empty")
        self._set_results(observations, infos, needed=self._acting)
        self._take(self._acting)

    def acting(self) -> Sequence[int]:
        """Return all live agents."""
        return self._acting

    def step(self, actions: Mapping[int, Array], rng: np.random.Generator) -> CopyStep:
        """Step the environment with the actions of all live agents."""
        # 1. Step the environment.
        decoded = {self._seats[agent].agent: self._seats[agent].decode_action(actions[agent]) for agent in actions}
        observations, rewards, terminations, truncations, infos = returned(
            self._env.step(decoded), "step", STEP, OLD_API
        )
        # 2. Whose episodes have ended, and who acts next?
        acted, live = set(actions), self._live()
        terminated = self._flags("terminations", terminations, acted)
        truncated = self._flags("truncations", truncations, acted) & ~terminated
        ended = terminated | truncated
        left = [agent for agent in sorted(acted.difference(live)) if not ended[agent]]
        if left:
            name = self._seats[left[0]].agent
            raise ValueError(f"agent {name!r} is not in env.agents any more, but is neither terminated nor truncated")
        # Some environments keep agents that have ended in env.agents: these have not come back.
        self._lingering = {agent for agent in live if ended[agent] or agent in self._lingering}
        self._acting = [agent for agent in live if agent not in self._lingering]
        # Only agents that acted have an episode that can end.
        others = np.ones(len(self._seats), np.bool_)
        others[list(acted)] = False
        terminated[others] = truncated[others] = False
        # 3. Take the observations of those who act next, and of truncated agents, for the value of what comes after.
        needed = set(np.flatnonzero(truncated).tolist()).union(self._acting)
        self._set_results(observations, infos, needed)
        self._take(sorted(needed.union(agent for agent in acted if self._observations.get(agent) is not None)))
        # Some environments still reward agents whose episode has ended before; the contract forbids it.
        paid = np.zeros(len(self._seats))
        for agent, reward in self._by_agent("rewards", rewards, acted).items():
            paid[agent] = self._number("the reward", agent, reward) if agent in acted else 0.0
        return CopyStep(paid, terminated, truncated, not self._acting)

    def _set_results(self, observations: Any, infos: Any, needed: Collection[int]) -> None:
        self._observations = self._by_agent("observations", observations, needed)
        self._infos = self._by_agent("infos", infos, ())

    def _raw(self, agent: int) -> Any:
        return self._observations[agent]

    def _info(self, agent: int) -> Any:
        return self._infos.get(agent)


class AecCopy(PettingZooCopy):
    """A copy with the AEC interface: a single agent acts in every step.

    An agent receives what `last()` would give: its reward since its last action, when its next turn comes or when it is
    removed. So `_cumulative_rewards` count, as the API says, and not `rewards`, which are those of one step.
    Raises ValueError at the end of a match in which only `rewards` had values: the environment forgot to add them up.
    """

    def reset(self, rng: np.random.Generator) -> None:
        """Start a new match with a seed drawn from `rng`."""
        self._seen.clear()
        self._fresh: set[int] = set()  # agents whose entry in `_seen` is of this step
        self._had_rewards = self._had_cumulative = False
        self._participants[:] = False
        self._env.reset(seed=int(rng.integers(2**31)))
        self._before = self._live()  # agents that were live after the last step
        if not self._before:
            raise ValueError("no agent is live after reset(): env.agents is empty")
        self._acting = [self._selected(self._before)]

    def acting(self) -> Sequence[int]:
        """Return the agent that the environment has selected; empty after the end of the match."""
        return self._acting

    def observe(self, agent: int) -> Array:
        """Return the observation now, of an agent that is in the match; else the last one, or zeros."""
        self._refresh(agent)
        return super().observe(agent)

    def mask(self, agent: int) -> Bools | None:
        """Return the action mask of the agent now; None if there is none."""
        self._refresh(agent)
        return super().mask(agent)

    def step(self, actions: Mapping[int, Array], rng: np.random.Generator) -> CopyStep:
        """Step the selected agent, then take the empty steps by which PettingZoo removes agents that are gone."""
        # 1. The move of the selected agent.
        [(agent, action)] = actions.items()
        env = self._env
        env.step(self._seats[agent].decode_action(action))
        self._fresh.clear()
        if not self._had_rewards:
            paid = env.rewards
            # Most are 0, and need no further look.
            if not isinstance(paid, Mapping) or any(type(reward) is not int or reward for reward in paid.values()):
                self._had_rewards = any(np.any(reward) for reward in self._by_agent("rewards", paid, ()).values())
        size = len(self._seats)
        rewards: Float64s = np.zeros(size)
        terminated, truncated = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
        # The values of truncated agents are bootstrapped from what they observe now; empty steps remove the agents.
        truncations = env.truncations
        if not isinstance(truncations, Mapping) or any(flag is not False for flag in truncations.values()):
            for index in np.flatnonzero(self._flags("truncations", truncations, ())):
                self._refresh(int(index))
        # 2. Empty steps remove agents that have ended, one each, until a live agent is selected or none is left.
        removals = 0
        while live := self._live():
            selected = self._selected(live)
            dead, cut = self._flag("terminations", selected), self._flag("truncations", selected)
            rewards[selected] += self._cumulative_reward(selected)
            if not (dead or cut):
                self._acting = [selected]
                self._require_removed(live, terminated | truncated)
                return CopyStep(rewards, terminated, truncated, False)
            # Never both: an agent that is also terminated counts as terminated.
            terminated[selected], truncated[selected] = dead, not dead
            removals += 1
            if removals > size:
                name = self._seats[selected].agent
                raise ValueError(f"step(None) does not remove agent {name!r}, whose episode has ended")
            env.step(None)
        if self._had_rewards and not self._had_cumulative:
            raise ValueError(
                "rewards had values, but _cumulative_rewards, which last() returns, stayed 0: call "
                "self._accumulate_rewards() at the end of step()"
            )
        self._acting = []
        self._require_removed([], terminated | truncated)
        return CopyStep(rewards, terminated, truncated, True)

    def _require_removed(self, live: Collection[int], ended: Bools) -> None:
        """Raise ValueError for an agent that has left without its empty step, with which its last reward comes."""
        if live == self._before:
            return
        left = [agent for agent in self._before if agent not in live and not ended[agent]]
        if left:
            name = self._seats[left[0]].agent
            raise ValueError(
                f"agent {name!r} is not in env.agents any more, although no step(None) has removed it: an agent that "
                "is terminated or truncated stays until then"
            )
        self._before = list(live)

    def _refresh(self, agent: int) -> None:
        """Take the observation of an agent that is in the match, once per step."""
        if agent not in self._fresh and self._seats[agent].agent in self._env.agents:
            self._take([agent])
            self._fresh.add(agent)

    def _selected(self, live: Collection[int]) -> int:
        """Return the agent whose turn it is. Raises ValueError unless it is one of these, which are live."""
        name = self._env.agent_selection
        if name not in self._index:
            raise ValueError(f"agent_selection is {name!r}, which is not one of the agents {self._names()}")
        if (index := self._index[name]) not in live:
            raise ValueError(f"agent_selection is {name!r}, which is not in env.agents any more")
        return index

    def _flag(self, what: str, agent: int) -> bool:
        flags = getattr(self._env, what)
        try:  # of a single agent, which is all that is read in most steps
            flag = flags[self._seats[agent].agent]
        except (KeyError, TypeError):
            flag = None
        if flag is True or flag is False:
            return flag
        return bool(self._flags(what, flags, (agent,))[agent])  # raises, and says what is wrong

    def _cumulative_reward(self, agent: int) -> float:
        values, name = self._env._cumulative_rewards, self._seats[agent].agent
        if not (isinstance(values, dict) and name in values):
            self._by_agent("_cumulative_rewards", values, (agent,))  # raises, and says what is wrong
        reward = self._number("the cumulative reward", agent, values[name])
        self._had_cumulative |= reward != 0
        return reward

    def _raw(self, agent: int) -> Any:
        return self._env.observe(self._seats[agent].agent)

    def _info(self, agent: int) -> Any:
        infos = self._env.infos
        if not isinstance(infos, Mapping):
            raise ValueError(f"infos is {shown(infos)}, not a dict by agent")
        return infos.get(self._seats[agent].agent)
