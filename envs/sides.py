"""The sides of an adapted environment, from names and patterns of its agents."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence


def resolve_sides(agents: Sequence[str], sides: Sequence[Sequence[str]] | None) -> list[tuple[int, ...]]:
    """Convert agent names and patterns to agent indices, one tuple per side; None: each agent is a side.

    Raises ValueError, naming `env.sides`, unless every agent is on exactly one side.
    """
    if sides is None:
        return [(agent,) for agent in range(len(agents))]
    # Names of agents that are numbers are numbers in YAML.
    sides = [[str(pattern) for pattern in side] for side in sides]
    for pattern in (pattern for side in sides for pattern in side):
        if not any(_matches(agent, pattern) for agent in agents):
            raise ValueError(f"env.sides: {pattern!r} matches no agent; the agents are {', '.join(agents)}")
    # Every pattern matches an agent; now every agent must match on exactly one side.
    resolved: list[list[int]] = [[] for _ in sides]
    for index, agent in enumerate(agents):
        found = [s for s, side in enumerate(sides) if any(_matches(agent, pattern) for pattern in side)]
        if len(found) != 1:
            where = "no side" if not found else f"sides {' and '.join(map(str, found))}"
            raise ValueError(f"env.sides: agent {agent!r} is on {where}; it must be on exactly one")
        resolved[found[0]].append(index)
    if not all(resolved):
        raise ValueError("env.sides: a side has no agents; remove it")
    return [tuple(side) for side in resolved]


def _matches(agent: str, pattern: str) -> bool:
    """Return whether a pattern, or the name itself, is that of the agent: a name may have brackets."""
    return agent == pattern or fnmatch.fnmatchcase(agent, pattern)
