"""A section of the configuration: a dataclass whose keys have a sentence for the documentation and bounds."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, get_args, get_type_hints

from marl_app.config.errors import ConfigError


def key(
    help: str,
    *,
    default: Any = MISSING,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: tuple[str, ...] = (),
    pattern: str = "",
    entries: type | None = None,
) -> Any:
    """Declare a key: one sentence for the documentation, and the bounds that `Section.__post_init__` checks.

    `entries` is the section class of the entries of a mapping whose names users choose. `conf/` cannot contain such
    entries, so only their keys have a `default`.
    """
    bounds = {"above": above, "at_least": at_least, "at_most": at_most, "choices": choices, "pattern": pattern}
    return field(default=default, metadata={"help": help, "entries": entries, **bounds})


def describe_bounds(bounds: Mapping[str, Any]) -> str:
    """Return the bounds of a key in words, "" without bounds. `bounds` is the metadata of its field."""
    if bounds["choices"]:
        return " | ".join(bounds["choices"])
    limits = [
        f"{sign} {bounds[name]:.10g}"
        for name, sign in (("above", ">"), ("at_least", ">="), ("at_most", "<="))
        if bounds[name] is not None
    ]
    return " and ".join(limits) or (f"matches {bounds['pattern']}" if bounds["pattern"] else "")


@dataclass
class Section:
    """A group of keys whose bounds are checked when it is made. Raises ConfigError, naming the key.

    OmegaConf has checked the types of the sections of `Config`. A section may also be the class of a `_target_` leaf,
    such as a task, whose arguments OmegaConf does not check: numbers are checked here, and 2e8 is a whole number.

    Restrictions of Hydra on dataclasses: not frozen, no Literal; `X | None` and `dict[str, X]` work.
    """

    path: ClassVar[str] = ""
    derived: ClassVar[tuple[str, ...]] = ()
    """Attributes that are no keys: what the section computes from them."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for item in fields(self):
            # Fields that were not declared with `key` have no bounds.
            if "help" not in item.metadata:
                continue
            name = f"{self.path}.{item.name}".lstrip(".")
            value = check_number(name, getattr(self, item.name), hints[item.name])
            # A whole number such as 2e8 becomes an int.
            setattr(self, item.name, value)
            if value is None:  # null was allowed
                continue
            # The bounds of a list are those of each element.
            for element in value if isinstance(value, list) else [value]:
                if not _within(element, item.metadata):
                    raise ConfigError(f"{name}={element} is not allowed: give {_describe_fix(item.metadata)}")


def check_number(name: str, value: Any, hint: Any, otherwise: str = "") -> Any:
    """Return the value, converted to int where `hint` is int; values of other types are returned unchanged.

    Raises ConfigError if `hint` is a number and the value is not; `otherwise` is what else may be given, as text.
    """
    # Optional numbers: the first type of `int | None` counts.
    kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if kinds[0] not in (int, float) or (value is None and len(kinds) > 1):
        return value
    if value is None:
        raise ConfigError(f"{name}=null is not allowed")
    whole = kinds[0] is int
    # In Python True is an int.
    if isinstance(value, bool) or not isinstance(value, int | float) or (whole and value % 1):
        raise ConfigError(f"{name}={value} is not {'a whole number' if whole else 'a number'}{otherwise}")
    return int(value) if whole else value


def _within(value: Any, bounds: Mapping[str, Any]) -> bool:
    """Return whether a value satisfies the bounds of its key."""
    if isinstance(value, str):
        chosen = not bounds["choices"] or value in bounds["choices"]
        return chosen and (not bounds["pattern"] or re.fullmatch(bounds["pattern"], value) is not None)
    # A number or a mapping has no choices and no pattern.
    if bounds["choices"] or bounds["pattern"]:
        return False
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return (
        math.isfinite(value)
        and (bounds["above"] is None or value > bounds["above"])
        and (bounds["at_least"] is None or value >= bounds["at_least"])
        and (bounds["at_most"] is None or value <= bounds["at_most"])
    )


def _describe_fix(bounds: Mapping[str, Any]) -> str:
    """Return what to give instead of a value that is out of bounds."""
    if bounds["choices"]:
        return f"one of {', '.join(bounds['choices'])}"
    if bounds["pattern"]:
        return f"a value that {describe_bounds(bounds)}"
    return f"a value {describe_bounds(bounds) or 'that is finite'}"
