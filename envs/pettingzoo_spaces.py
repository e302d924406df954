"""Conversion of PettingZoo's spaces to those of the contract: observations, actions, and groups of agents."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import ActionSpace, Array, Group


@dataclass(frozen=True)
class Seat:
    """An agent and its spaces: those of the environment (`raw_*`) and those of the contract."""

    agent: str
    raw_observation_space: spaces.Space[Any]
    """Without the action mask."""
    raw_action_space: spaces.Space[Any]
    observation_space: spaces.Box
    action_space: ActionSpace

    def encode_observation(self, raw: Any) -> Array:
        """Convert an observation of the environment to an array of `observation_space`, without the action mask."""
        # PettingZoo's classic games have {"observation": ..., "action_mask": ...}.
        if isinstance(raw, dict) and "action_mask" in raw:
            rest = {key: value for key, value in raw.items() if key != "action_mask"}
            raw = rest["observation"] if list(rest) == ["observation"] else rest
        if not isinstance(self.raw_observation_space, spaces.Box):
            raw = spaces.flatten(self.raw_observation_space, raw)
        return np.asarray(raw, self.observation_space.dtype)

    def decode_action(self, action: Array) -> Any:
        """Convert an action of `action_space` to an action of the environment."""
        space = self.raw_action_space
        if isinstance(space, spaces.Discrete):
            return int(action + space.start)
        if isinstance(space, spaces.MultiDiscrete):
            return (action + space.start).astype(space.dtype)
        assert isinstance(space, spaces.Box)
        # A float32 bound, converted to float64, can be slightly outside of the float64 bound.
        return np.clip(action.astype(space.dtype), space.low, space.high)


def make_seat(agent: str, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> Seat:
    """Convert the spaces of an agent. Raises ValueError, naming the agent, for spaces that the contract excludes."""
    if isinstance(observation_space, spaces.Dict) and "action_mask" in observation_space.spaces:
        rest = {key: space for key, space in observation_space.items() if key != "action_mask"}
        observation_space = rest["observation"] if list(rest) == ["observation"] else spaces.Dict(rest)
    seen = observation_space if isinstance(observation_space, spaces.Box) else spaces.flatten_space(observation_space)
    if not isinstance(seen, spaces.Box):
        raise ValueError(f"agent {agent}: the observation space {observation_space} has no fixed size")
    # Integer observations (images, boards) keep their dtype, which saves memory; float64 becomes float32.
    if seen.dtype == np.float64:
        seen = to_float32(seen)
    return Seat(agent, observation_space, action_space, seen, _to_action_space(agent, action_space))


def to_float32(box: spaces.Box) -> spaces.Box:
    """Return the same Box in float32."""
    with np.errstate(over="ignore"):  # the largest float64, used as "unbounded", becomes infinity
        return spaces.Box(box.low.astype(np.float32), box.high.astype(np.float32), dtype=np.float32)


def _to_action_space(agent: str, space: spaces.Space[Any]) -> ActionSpace:
    """Return the space of the same actions with integers from 0, or in float32."""
    if isinstance(space, spaces.Discrete):
        return spaces.Discrete(int(space.n))
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return spaces.MultiDiscrete(space.nvec)
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        return to_float32(space)
    raise ValueError(f"agent {agent}: an action space must be Discrete, MultiDiscrete or a float Box, not {space}")


def group_seats(seats: Sequence[Seat]) -> list[Group]:
    """Group agents with equal spaces, in the order of their first agents.

    A group is named by the common prefix of its agents; a name that is taken gets a number.
    """
    members: list[list[int]] = []  # indices of seats, a list per group
    for index, seat in enumerate(seats):
        for group in members:
            first = seats[group[0]]
            if (first.observation_space, first.action_space) == (seat.observation_space, seat.action_space):
                group.append(index)
                break
        else:
            members.append([index])
    names: list[str] = []
    for group in members:
        name = base = _shared_name([seats[index].agent for index in group])
        count = 1
        while name in names:
            count += 1
            name = f"{base}_{count}"
        names.append(name)
    return [
        Group(name, tuple(group), seats[group[0]].observation_space, seats[group[0]].action_space)
        for name, group in zip(names, members, strict=True)
    ]


def _shared_name(agents: Sequence[str]) -> str:
    """Return the common prefix as a valid identifier: ["adversary_0", "adversary_1"] -> "adversary"; else "agents"."""
    # Cut trailing digits and separators, then replace other characters that an identifier cannot have.
    prefix = os.path.commonprefix(list(agents))
    name = re.sub(r"\W", "_", re.sub(r"[\W\d_]+$", "", prefix))
    return name if name.isidentifier() else "agents"
