"""Each match needs an environment of its own: what two matches share is found before they are played."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium
from pettingzoo import AECEnv, ParallelEnv


def require_separate(envs: Sequence[Any], name: str) -> None:
    """Raise ValueError, which begins with the name, if two of the environments are one, also one inside of wrappers."""
    owners: dict[int, int] = {}  # id of an environment or wrapper -> the match that it is of
    for match, env in enumerate(envs):
        if any(owners.setdefault(id(layer), match) != match for layer in _layers(env)):
            raise ValueError(
                f"{name}: two matches get the same environment, and each needs its own: return a new environment at "
                "each call"
            )


def _layers(env: Any) -> Iterator[Any]:
    """Yield an environment, and those that it holds as attributes, as wrappers do."""
    found, seen = [env], set()
    while found:
        layer = found.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        yield layer
        inside = getattr(layer, "__dict__", {}).values()
        # Of other types are the rules of a game, or a table, which matches may share.
        found += [value for value in inside if isinstance(value, gymnasium.Env | AECEnv | ParallelEnv)]
