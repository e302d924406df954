"""Spaces of a saved player as JSON, and back. Sizes are checked before anything is allocated: a file may be foreign."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

MOST_NUMBERS = 100_000_000
"""Numbers of an observation, or choices of an action, beyond which a file is refused."""
DTYPES = (
    "bool",
    "float16",
    "float32",
    "float64",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)


def space_to_json(space: spaces.Space[Any]) -> dict[str, Any]:
    """Return a space as JSON types. Raises ValueError for a space without a fixed size."""
    if isinstance(space, spaces.Discrete):
        # The first action is written only if it is not 0.
        start = {"start": int(space.start)} if space.start else {}
        return {"discrete": int(space.n), **start}
    if isinstance(space, spaces.MultiDiscrete):
        start = {"start": space.start.tolist()} if space.start.any() else {}
        return {"multi_discrete": space.nvec.tolist(), **start}
    if isinstance(space, spaces.MultiBinary):
        return {"multi_binary": list(space.shape)}
    if isinstance(space, spaces.Text):
        return {"text": [space.min_length, space.max_length], "characters": space.characters}
    if isinstance(space, spaces.Tuple):
        return {"tuple": [space_to_json(part) for part in space.spaces]}
    if isinstance(space, spaces.Dict):
        return {"dict": [[key, space_to_json(part)] for key, part in space.spaces.items()]}
    if not isinstance(space, spaces.Box):
        raise ValueError(f"a player with the space {space} cannot be saved")
    bounds = [_bound(space.low), _bound(space.high)]
    return {"box": bounds, "shape": list(space.shape), "dtype": str(space.dtype)}


def _bound(values: NDArray[Any]) -> Any:
    """Return a box's bound as JSON: one value if all are equal, else all; as text, because JSON has no infinities."""
    # As numbers: the text "False" would not be read back as one.
    if values.dtype == np.bool_:
        values = values.astype(np.int8)
    texts = [repr(value) for value in values.ravel().tolist()]
    return texts[0] if len(set(texts)) == 1 else texts


def space_from_json(value: Mapping[str, Any]) -> spaces.Space[Any]:
    """Return the space that `space_to_json` wrote. Raises ValueError for anything else, and for absurd sizes."""
    try:
        return _space_from_json(value)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"a space of this player is malformed: {type(error).__name__}: {error}") from error


def _space_from_json(value: Mapping[str, Any]) -> spaces.Space[Any]:
    if "discrete" in value:
        return spaces.Discrete(_count(value["discrete"]), start=int(value.get("start", 0)))
    if "multi_discrete" in value:
        # Sizes are limited before a space allocates arrays for them.
        sizes = np.array(value["multi_discrete"], np.int64)
        _count(int(sizes.sum()))
        if not sizes.size or (sizes < 1).any():
            raise ValueError(f"actions of sizes {sizes.tolist()}")
        start = value.get("start")
        return spaces.MultiDiscrete(sizes, start=None if start is None else np.array(start, np.int64))
    if "multi_binary" in value:
        return spaces.MultiBinary([_count(size) for size in value["multi_binary"]])
    if "text" in value:
        shortest, longest = value["text"]
        return spaces.Text(_count(longest), min_length=int(shortest), charset=str(value["characters"]))
    if "tuple" in value:
        return spaces.Tuple([_space_from_json(part) for part in value["tuple"]])
    if "dict" in value:
        return spaces.Dict(OrderedDict((str(key), _space_from_json(part)) for key, part in value["dict"]))
    # What is left is a box.
    if value["dtype"] not in DTYPES:
        raise ValueError(f"the dtype {value['dtype']!r}")
    dtype, shape = np.dtype(value["dtype"]), tuple(int(size) for size in value["shape"])
    if any(size < 0 for size in shape) or math.prod(shape) > MOST_NUMBERS:
        raise ValueError(f"the shape {shape}")
    low, high = (_bound_from_json(bound, dtype, shape) for bound in value["box"])
    return spaces.Box(low, high, shape, dtype.type)


def _bound_from_json(bound: str | list[str], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return a box's bound, one text or a text for each number, as an array."""
    texts = [bound] if isinstance(bound, str) else bound
    # Integers as such: as a float64 the largest int64 would be beyond int64. numpy refuses those beyond the dtype.
    if dtype.kind in "iu":
        numbers: NDArray[Any] = np.array([int(text) for text in texts], dtype)
    else:
        numbers = np.array([float(text) for text in texts]).astype(dtype)
    return np.broadcast_to(numbers, math.prod(shape)).reshape(shape)


def _count(number: Any) -> int:
    if not isinstance(number, int) or not 1 <= number <= MOST_NUMBERS:
        raise ValueError(f"the size {number}")
    return number
