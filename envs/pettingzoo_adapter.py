"""PettingZoo environments as batched environments, by the path of the module: B copies, stepped in a loop.

Uses the Parallel interface if the module has one (`parallel_env`), otherwise AEC (`env`). `pettingzoo_spaces` converts
spaces, `pettingzoo_copy` defines how matches end. Agents are the `possible_agents` of the environment, in its order.
"""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import os
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gymnasium import spaces

from marl_app.envs.batched import Openings
from marl_app.envs.copies import Copies
from marl_app.envs.pettingzoo_copy import AecCopy, ParallelCopy
from marl_app.envs.pettingzoo_spaces import group_seats, make_seat, to_float32


class PettingZoo(Copies):
    """`num_matches` copies of a PettingZoo environment.

    name: path of the module, e.g. "pettingzoo.classic.connect_four_v3", "mpe2.simple_tag_v3".
    kwargs: passed to the environment.
    sides: lists of agent names or patterns, e.g. [["adversary_*"], ["agent_*"]], or [["*"]] for one team;
        None: each agent is a side.
    openings: only for environments without a Parallel interface.

    Raises ImportError for a module that cannot be imported and ValueError for any other unsupported setting or space,
    both naming the key (`env.name`, ...).
    """

    def __init__(
        self,
        num_matches: int,
        name: str,
        kwargs: Mapping[str, Any] | None = None,
        sides: Sequence[Sequence[str]] | None = None,
        openings: Openings | None = None,
    ) -> None:
        make, parallel = _find(name)
        if parallel and openings is not None:
            raise ValueError(
                f"env.openings: set null, because env.name={name!r} has a Parallel interface and is not turn-based"
            )
        try:
            envs = [make(**(kwargs or {})) for _ in range(num_matches)]
        except TypeError as error:
            raise ValueError(f"env.kwargs={dict(kwargs or {})}: {name} does not accept them ({error})") from error
        agents = getattr(envs[0], "possible_agents", None)
        if not agents:
            raise ValueError(f"env.name={name!r}: the environment has no possible_agents, so its agents are unknown")
        try:
            seats = [
                make_seat(agent, envs[0].observation_space(agent), envs[0].action_space(agent)) for agent in agents
            ]
        except ValueError as error:
            raise ValueError(f"env.name={name!r}: {error}") from error
        state_space = getattr(envs[0], "state_space", None)
        super().__init__(
            name,
            [ParallelCopy(env, seats) if parallel else AecCopy(env, seats) for env in envs],
            agents,
            group_seats(seats),
            resolve_sides(agents, sides),
            openings,
            to_float32(state_space) if isinstance(state_space, spaces.Box) else None,
        )


def resolve_sides(agents: Sequence[str], sides: Sequence[Sequence[str]] | None) -> list[tuple[int, ...]]:
    """Convert agent names and patterns to agent indices, one tuple per side; None: each agent is a side.

    Raises ValueError, naming `env.sides`, unless every agent is on exactly one side.
    """
    if sides is None:
        return [(agent,) for agent in range(len(agents))]
    for pattern in (pattern for side in sides for pattern in side):
        if not fnmatch.filter(agents, pattern):
            raise ValueError(f"env.sides: {pattern!r} matches no agent; the agents are {', '.join(agents)}")
    # Every pattern matches an agent; now every agent must match on exactly one side.
    resolved: list[list[int]] = [[] for _ in sides]
    for index, agent in enumerate(agents):
        found = [s for s, side in enumerate(sides) if any(fnmatch.fnmatchcase(agent, pattern) for pattern in side)]
        if len(found) != 1:
            where = "no side" if not found else f"sides {' and '.join(map(str, found))}"
            raise ValueError(f"env.sides: agent {agent!r} is on {where}; it must be on exactly one")
        resolved[found[0]].append(index)
    if not all(resolved):
        raise ValueError("env.sides: a side has no agents; remove it")
    return [tuple(side) for side in resolved]


def _find(name: str) -> tuple[Callable[..., Any], bool]:
    """Import the module; returns the function that makes the environment, and whether it has the Parallel interface."""
    # Without these, Butterfly's environments open a pygame window and print a banner.
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        # The name of the missing module is a prefix of `name` if that path is wrong; otherwise a dependency is missing.
        hint = _hint(name) if error.name and name.startswith(error.name) else "install the missing package"
        raise ImportError(f"env.name={name!r} cannot be imported ({error}); {hint}") from error
    if hasattr(module, "parallel_env"):
        return module.parallel_env, True
    if hasattr(module, "env"):
        return module.env, False
    raise ValueError(f"env.name={name!r} has neither parallel_env nor env; give the module of an environment")


def _hint(name: str) -> str:
    """Return a hint for a wrong module path: the most similar names in the same package, or an example."""
    package = name.rpartition(".")[0]
    try:
        siblings = [info.name for info in pkgutil.iter_modules(importlib.import_module(package).__path__)]
    except (ImportError, ValueError, AttributeError):
        siblings = []
    near = difflib.get_close_matches(name.rpartition(".")[2], siblings, n=3)
    if near:
        return "did you mean " + " or ".join(f"{package}.{module}" for module in near) + "?"
    return "give a module such as pettingzoo.classic.connect_four_v3 or mpe2.simple_spread_v3, and install its package"
