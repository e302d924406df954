"""Conversion of PettingZoo's spaces to those of the contract: observations, actions, and groups of agents."""

from __future__ import annotations

import math
import os
import re
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import ActionSpace, Array, Bools, Group


@dataclass(frozen=True)
class Seat:
    """An agent and its spaces: those of the environment (`raw_*`) and those of the contract."""

    agent: Hashable
    """As the environment names it: usually a string."""
    raw_observation_space: spaces.Space[Any]
    """Without the action mask."""
    raw_action_space: spaces.Space[Any]
    observation_space: spaces.Box
    action_space: ActionSpace
    masked: bool = False
    """Whether the space of the environment's observations has an action mask."""

    @property
    def translates(self) -> bool:
        """Whether observations or actions differ from the environment's, besides the precision of observations."""
        raw, action = self.raw_observation_space, self.raw_action_space
        return (
            not isinstance(raw, spaces.Box)
            or raw.shape != self.observation_space.shape
            or (isinstance(action, spaces.Discrete | spaces.MultiDiscrete) and bool(np.any(action.start)))
            or (isinstance(action, spaces.Box) and action.dtype != self.action_space.dtype)
        )

    def encode(self, raw: Any, info: Any = None) -> tuple[Array, Bools | None]:
        """Convert an observation of the environment: a new array of `observation_space`, and the action mask.

        The mask is that of the observation, else that of the info dict; None if neither has one.
        Raises ValueError, naming the agent, for an observation or a mask that does not fit.
        """
        mask = None
        # PettingZoo's classic games have {"observation": ..., "action_mask": ...}.
        if isinstance(raw, Mapping) and (self.masked or "action_mask" in raw):
            mask = raw.get("action_mask")
            rest = {key: value for key, value in raw.items() if key != "action_mask"}
            raw = rest["observation"] if list(rest) == ["observation"] else rest
        if mask is None and isinstance(info, Mapping):
            mask = info.get("action_mask")
        return self.encode_observation(raw), None if mask is None else self.encode_mask(mask)

    def encode_observation(self, raw: Any) -> Array:
        """Convert an observation without the action mask. Raises ValueError if a value would be changed."""
        if not isinstance(self.raw_observation_space, spaces.Box):
            # Flattening casts, indexes and joins without a question, so each part is compared with its space before.
            if problem := _misfit(self.raw_observation_space, raw):
                raise ValueError(f"the observation of agent {self.agent!r} does not fit its space: {problem}")
            try:
                raw = spaces.flatten(self.raw_observation_space, raw)
            except Exception as error:
                raise ValueError(
                    f"the observation {shown(raw)} of agent {self.agent!r} is not in {self.raw_observation_space}"
                ) from error
        array = np.asarray(raw)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"the observation of agent {self.agent!r} is {shown(raw)}, not an array of numbers")
        # A single number: rows of the contract have at least one dimension.
        if array.shape == () != self.observation_space.shape == (1,):
            array = array.reshape(1)
        dtype = np.dtype(self.observation_space.dtype)
        with np.errstate(invalid="ignore", over="ignore"):
            converted = array.astype(dtype)
        # Rounding to float32 is expected; a change of integers is an error of the environment's space.
        if dtype.kind != "f" and array.dtype != dtype and not np.array_equal(converted, array):
            value = array.ravel()[np.argmax((converted != array).ravel())]
            raise ValueError(
                f"the observation of agent {self.agent!r} has the value {value}, which its space of dtype "
                f"{self.raw_observation_space.dtype} cannot hold: give the space the dtype of the observations"
            )
        return converted

    def encode_mask(self, mask: Any) -> Bools:
        """Convert an action mask: an array or a list; for MultiDiscrete also one for each part. bool [mask_size]."""
        if isinstance(mask, tuple | list) and mask and np.ndim(mask[0]):
            mask = np.concatenate([np.ravel(part) for part in mask])
        array = np.asarray(mask)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"the action mask of agent {self.agent!r} is {shown(mask)}, not an array of 0 and 1")
        require_binary(array, f"the action mask of agent {self.agent!r}")
        return array.astype(np.bool_)

    def require_mask(self, mask: Bools | None) -> Bools | None:
        """Return the mask of an agent that acts. Raises ValueError if it has none, although its space has one."""
        if mask is None and self.masked:
            raise ValueError(
                f"the observation of agent {self.agent!r}, which acts, has no action_mask, as its space has: give one, "
                "of ones if all actions are legal"
            )
        return mask

    def decode_action(self, action: Array) -> Any:
        """Convert an action of `action_space` to an action of the environment."""
        space = self.raw_action_space
        if isinstance(space, spaces.Discrete):
            return int(action + space.start)
        if isinstance(space, spaces.MultiDiscrete):
            return (action + space.start).astype(space.dtype)
        assert isinstance(space, spaces.Box)
        # A float32 bound, converted to float64, can be slightly outside of the float64 bound.
        return np.asarray(np.clip(action.astype(space.dtype), space.low, space.high), space.dtype)


def require_binary(mask: Array, name: str) -> None:
    """Raise ValueError, which begins with the name, unless the numbers of an action mask are 0 and 1."""
    if mask.dtype == np.bool_ or (same := mask.astype(np.bool_) == mask).all():
        return
    raise ValueError(
        f"{name} has the value {mask[~same][0]}: it must have 1 for each legal action and 0 for each other one, "
        "and neither numbers of actions nor what is added to logits"
    )


def make_seat(agent: Hashable, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> Seat:
    """Convert the spaces of an agent. Raises ValueError, naming the agent, for spaces that the contract excludes."""
    masked = False
    if isinstance(observation_space, spaces.Dict) and "action_mask" in observation_space.spaces:
        masked = True
        rest = {key: space for key, space in observation_space.items() if key != "action_mask"}
        observation_space = rest["observation"] if list(rest) == ["observation"] else spaces.Dict(rest)
    # What is not a Box is flattened to one, by Gymnasium.
    observation_space = _in_order(observation_space)
    seen: Any = observation_space
    if not isinstance(observation_space, spaces.Box):
        try:
            seen = spaces.flatten_space(observation_space)
        except Exception as error:  # such as a Dict without entries
            text = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"agent {agent}: the observation space {observation_space} has no size ({text})"
            ) from error
    if not isinstance(seen, spaces.Box):
        raise ValueError(f"agent {agent}: the observation space {observation_space} has no fixed size")
    if seen.dtype is None or seen.dtype.kind not in "biuf":
        raise ValueError(f"agent {agent}: the observation space {observation_space} is not of numbers")
    # Integer observations (images, boards) keep their dtype, which saves memory, unless torch lacks operations on it.
    seen = to_dtype(seen, _DTYPES.get(seen.dtype.name, seen.dtype))
    if seen.shape == ():
        seen = spaces.Box(seen.low.reshape(1), seen.high.reshape(1), dtype=np.dtype(seen.dtype).type)
    return Seat(agent, observation_space, action_space, seen, _to_action_space(agent, action_space), masked)


def _in_order(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """Return the space with the characters of texts in sorted order.

    By default Gymnasium numbers them in the order of a set, which is another one in each process: what one process
    encodes would mean something else to a player that was trained in another.
    """
    if isinstance(space, spaces.Text):
        return spaces.Text(space.max_length, min_length=space.min_length, charset=space.characters)
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([_in_order(part) for part in space.spaces])
    if isinstance(space, spaces.Dict):
        return spaces.Dict(OrderedDict((key, _in_order(part)) for key, part in space.spaces.items()))
    return space


def _misfit(space: spaces.Space[Any], value: Any, name: str = "it") -> str | None:
    """Return what is wrong with a structured observation, or a part of it called `name`; None if all of it can be kept.

    Keys, lengths, shapes and integers must be those of the space; bounds of Boxes are not compared.
    """
    if isinstance(space, spaces.Dict):
        if not isinstance(value, Mapping):
            return f"{name} is {shown(value)}, not a dict"
        missing, unknown = space.spaces.keys() - value.keys(), value.keys() - space.spaces.keys()
        if missing or unknown:
            return f"{name} lacks {min(missing)!r}" if missing else f"{name} has {min(unknown, key=str)!r} besides"
        problems = (_misfit(part, value[key], f"its {key!r}") for key, part in space.spaces.items())
        return next(filter(None, problems), None)
    if isinstance(space, spaces.Tuple):
        if not isinstance(value, Sequence) or len(value) != len(space.spaces):
            return f"{name} is {shown(value)}, not a tuple of {len(space.spaces)}"
        pairs = enumerate(zip(space.spaces, value, strict=True))
        return next(filter(None, (_misfit(*pair, f"its part {index}") for index, pair in pairs)), None)
    if not isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        return None  # such as a text, which Gymnasium checks
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        return f"{name} is {shown(value)}, not an array"
    # A single number may be an array of one, and an array of one a single number.
    shape, dtype = space.shape or (), np.dtype(space.dtype)
    single = array.size == math.prod(shape) == 1
    if array.dtype.kind not in "biuf" or not (single or array.shape == shape):
        return f"{name} is {shown(value)}, not numbers of shape {shape}"
    if isinstance(space, spaces.Box):
        with np.errstate(invalid="ignore", over="ignore"):
            fits: Any = np.asarray(dtype.kind == "f" or array.astype(dtype) == array)
    elif isinstance(space, spaces.MultiBinary):
        fits = (array == 0) | (array == 1)
    else:
        start: Any = space.start
        count: Any = space.n if isinstance(space, spaces.Discrete) else space.nvec
        fits = (array >= start) & (array < start + count)
    return None if fits.all() else f"{name} has the value {array[~fits].ravel()[0]}, which {space} cannot hold"


_DTYPES: dict[str, Any] = {
    "float16": np.dtype(np.float32),
    "float64": np.dtype(np.float32),
    "uint16": np.dtype(np.int32),
    "uint32": np.dtype(np.int64),
    "uint64": np.dtype(np.int64),
}
"""dtype of an environment's observations -> ours, where these differ. uint64: values from 2^63 on are refused."""


def to_dtype(box: spaces.Box, dtype: Any) -> spaces.Box:
    """Return the same Box in another dtype; bounds beyond the dtype's become its largest value, or infinite."""
    if box.dtype == dtype:
        return box
    low, high = box.low, box.high
    if dtype.kind != "f" and np.iinfo(high.dtype).max > np.iinfo(dtype).max:
        high = np.minimum(high, high.dtype.type(np.iinfo(dtype).max))
    with np.errstate(over="ignore"):  # the largest float64, used as "unbounded", becomes infinity
        return spaces.Box(low.astype(dtype), high.astype(dtype), dtype=dtype.type)


def to_float32(box: spaces.Box) -> spaces.Box:
    """Return the same Box in float32."""
    return to_dtype(box, np.dtype(np.float32))


def _to_action_space(agent: Hashable, space: spaces.Space[Any]) -> ActionSpace:
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
            # No group has these spaces yet.
            members.append([index])
    names: list[str] = []
    for group in members:
        name = base = _shared_name([str(seats[index].agent) for index in group])
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


def to_number(value: Any, what: str, agent: Hashable) -> float:
    """Return a reward. Raises ValueError, naming what and whose it is, if it is not one number."""
    if type(value) is float or type(value) is int:  # almost always
        return float(value)
    if np.ndim(value) or np.asarray(value).dtype.kind not in "biuf":
        hint = (
            "; an environment with several objectives needs a wrapper that weights them" if np.size(value) > 1 else ""
        )
        raise ValueError(f"{what} of agent {agent!r} is {shown(value)}, not a number{hint}")
    return float(value)


def to_flag(value: Any, what: str, agent: Hashable) -> bool:
    """Return a termination or truncation. Raises ValueError if it is not one bool: a text has a truth value, too."""
    if value is True or value is False:  # almost always
        return value
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf" or array.item() not in (0, 1):
        raise ValueError(f"{what} of agent {agent!r} is {shown(value)}, not True or False")
    return bool(array.item())


def shown(value: Any) -> str:
    """Return a value, or its type if it is long, for an error message."""
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 40 else f"a {type(value).__name__}"
