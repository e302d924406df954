"""Numbers and names as the page writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

NONE = "-"


def game_name(environment: Mapping[str, Any], option: str = "") -> str:
    """Return what people call an environment: the game that its adapter plays, or else its option or class."""
    own = environment.get("game") or environment.get("name") or option
    return str(own or environment["_target_"].rpartition(".")[2])


def number(value: Any, digits: int = 3) -> str:
    """Return a number with this many decimals, whole ones and those from 1,000 on without; NONE for None and NaN."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.{digits}f}"


def interval(score: Mapping[str, Any]) -> str:
    """Return the interval of a score: [0.964, 0.997], which no line break splits; NONE if it has none."""
    if score.get("low") is None or score.get("high") is None:
        return NONE
    return f"[{score['low']:.3f},\u00a0{score['high']:.3f}]"


def share(value: float | None) -> str:
    """Return a share in per cent, with a decimal."""
    return NONE if value is None or not math.isfinite(value) else f"{value:.1%}"


def duration(seconds: float | None) -> str:
    """Return a duration: 42 s, 12 min 05 s, 3 h 12 min."""
    if seconds is None:
        return NONE
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def size(count: float | None) -> str:
    """Return bytes in a unit of a fitting size: 1.2 MB."""
    if count is None:
        return NONE
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
