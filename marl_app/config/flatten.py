"""Nested mappings as dotted keys: `{"algorithm": {"lr": 1e-3}}` as `algorithm.lr`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def flatten(
    content: Mapping[Any, Any], prefix: str = "", is_section: Callable[[Mapping[Any, Any]], bool] = lambda _: True
) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of nested mappings, in their order; every key begins with `prefix`.

    A mapping for which `is_section` returns False is a value. An empty section yields nothing.
    """
    for name, value in content.items():
        if isinstance(value, Mapping) and is_section(value):
            yield from flatten(value, f"{prefix}{name}.", is_section)
        else:
            yield f"{prefix}{name}", value
