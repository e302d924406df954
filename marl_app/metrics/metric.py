"""What is said of a metric: its key, meaning and unit, and when it is a curve."""

from __future__ import annotations

from dataclasses import dataclass

ALWAYS, NONZERO, NEVER = "always", "nonzero", "never"


@dataclass(frozen=True)
class Metric:
    """A metric. `unit` is "1" for plain numbers, "share" for numbers in [0, 1], "image" for pictures, "text" for texts.

    is_total: counted from the beginning of the run, or a state that has no mean, such as the size of the pool.
    curve: when it is a curve in TensorBoard: ALWAYS; NONZERO: from its first value other than 0; NEVER.
    """

    key: str
    sentence: str
    unit: str
    is_total: bool = False
    curve: str = ALWAYS
