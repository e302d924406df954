"""Checks of the settings of native environments: each function raises ValueError, naming the key, for a wrong value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def require_integer(key: str, value: int, low: int, high: int | None = None) -> None:
    """Require that `env.<key>` is an integer >= low (and <= high)."""
    # bool is a subclass of int: `true` in YAML must not count as 1.
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not is_integer or value < low or (high is not None and value > high):
        bounds = f">= {low}" if high is None else f"in [{low}, {high}]"
        raise ValueError(f"env.{key} must be an integer {bounds}, not {value}")


def require_number(key: str, value: float, low: float = -math.inf, high: float = math.inf) -> None:
    """Require that `env.<key>` is a finite number in [low, high]."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        bounds = f" in [{low:g}, {high:g}]" if math.isfinite(high) else f" >= {low:g}" if math.isfinite(low) else ""
        raise ValueError(f"env.{key} must be a number{bounds}, not {value}")


def require_bool(key: str, value: bool) -> None:
    """Require that `env.<key>` is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"env.{key} must be true or false, not {value}")


def require_field(key: str, value: Sequence[int], low: int) -> None:
    """Require that `env.<key>` is [rows, columns] of a grid, each >= low."""
    if not isinstance(value, Sequence) or len(value) != 2:
        raise ValueError(f"env.{key} must be [rows, columns], not {value}")
    for length in value:
        require_integer(key, length, low)


def require_choice(key: str, value: str, choices: Iterable[str]) -> None:
    """Require that `env.<key>` is one of the names in `choices`."""
    names = list(choices)
    if value not in names:
        raise ValueError(f"env.{key} must be one of {', '.join(names)}, not {value}")
