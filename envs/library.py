"""What environments of a library declare and return, checked: agents, spaces, and the values of reset() and step()."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from marl_app.envs.copies import describe
from marl_app.envs.pettingzoo_spaces import shown


def declared_agents(env: Any, name: str) -> list[Hashable]:
    """Return the `possible_agents` of an environment.

    Raises ValueError, which begins with the name, if there are none, or they are not different names in an order.
    """
    try:
        possible = getattr(env, "possible_agents", None)
    except Exception as error:
        raise ValueError(f"{name}: its possible_agents: {describe(error)}") from error
    # The order of a set of names is another one in each process.
    if possible is not None and (
        isinstance(possible, str) or not isinstance(possible, Sequence | Mapping | np.ndarray)
    ):
        raise ValueError(f"{name}: its possible_agents are {shown(possible)}: give a list of names")
    agents = (
        [agent.item() if isinstance(agent, np.generic) else agent for agent in possible] if possible is not None else []
    )
    if not agents:
        raise ValueError(f"{name}: the environment has no possible_agents, so its agents are unknown")
    if len(set(map(str, agents))) < len(agents):
        raise ValueError(f"{name}: two of the possible_agents have the same name: {agents}")
    return agents


def declared_space(env: Any, method: str, agent: Hashable) -> Any:
    """Return a space of an agent, which the method gives. Raises ValueError if the environment does not say which."""
    try:
        space = getattr(env, method)(agent)
    except Exception as error:
        hint = f"{method} must be a method that takes an agent" if isinstance(error, TypeError) else describe(error)
        raise ValueError(f"agent {agent}: the environment does not give its {method}: {hint}") from error
    if not isinstance(space, spaces.Space):
        hint = "; wrap the environment with shimmy" if type(space).__module__.startswith("gym.") else ""
        raise ValueError(f"agent {agent}: its {method} is {shown(space)}, not a space of gymnasium{hint}")
    return space


def returned(result: Any, call: str, names: Sequence[str], hint: str) -> tuple[Any, ...]:
    """Return what reset() or step() has returned. Raises ValueError, with the hint, unless it is a tuple of these."""
    if not (isinstance(result, tuple) and len(result) == len(names)):
        given = f"{len(result)} values" if isinstance(result, tuple) else shown(result)
        raise ValueError(f"{call}() returned {given}, not ({', '.join(names)}); {hint}")
    return result
