"""An agent as a function for the loop of a PettingZoo environment, AEC or Parallel."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol

from numpy.typing import NDArray


class Acts(Protocol):
    """What the policy needs of an agent: see `players.agent.Agent`."""

    memory_size: int

    @property
    def act(self) -> Callable[..., Any]: ...

    @property
    def start(self) -> Callable[[], NDArray[Any]]: ...


class PettingZooPolicy:
    """`policy(observation, agent)` -> an action of the agent's action space.

    For AEC: `observation, _, terminated, truncated, info = env.last()`, then
    `env.step(None if terminated or truncated else policy(observation, agent, info))`. For Parallel:
    `env.step({agent: policy(observations[agent], agent) for agent in env.agents})`.

    A recurrent agent has a memory for each agent of the environment, from the last `reset` on: call it where the
    environment is reset.
    agents: the names of the agents that the player knows; it plays another one only if all of its agents are alike.
    """

    def __init__(self, player: Acts, agents: list[str], **options: Any) -> None:
        self._player, self._agents, self._options = player, agents, options
        self.reset()

    def reset(self) -> None:
        """Forget what a recurrent agent remembers: a match begins."""
        self._memories: dict[Hashable, NDArray[Any]] = {}

    def __call__(self, observation: Any, agent: Hashable, info: Any = None) -> Any:
        """Return an action for what the environment shows the agent.

        observation: as the environment gives it; a dict may contain the "action_mask". info: the agent's info dict,
        whose "action_mask" is used if the observation has none.
        """
        mask = info.get("action_mask") if info else None
        if isinstance(observation, dict) and "action_mask" in observation:
            mask = None  # the player reads it
        # An agent that the player does not have is played without a name, which works if one network plays all.
        name = str(agent) if str(agent) in self._agents else None
        if not self._player.memory_size:
            return self._player.act(observation, mask, name, **self._options)
        # A memory per agent of the environment, zeros at its first action.
        memory = self._memories.get(agent)
        memory = self._player.start() if memory is None else memory
        action, self._memories[agent] = self._player.act(observation, mask, name, memory=memory, **self._options)
        return action
