"""Running mean and variance of numbers that come in arrays, from several processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Moments:
    """Count, mean and sum of squared deviations (Chan, Golub and LeVeque, 1983)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: NDArray[Any]) -> None:
        """Take an array of any shape into account."""
        self.merge(Moments(values.size, float(values.mean()), float(values.var()) * values.size))

    def merge(self, other: Moments) -> None:
        """Take what another has seen into account."""
        total = self.count + other.count
        if not other.count:
            return
        delta = other.mean - self.mean
        self.squares += other.squares + delta**2 * self.count * other.count / total
        self.mean += delta * other.count / total
        self.count = total

    @property
    def scale(self) -> float:
        """1 / standard deviation; 1 while nothing varies."""
        variance = self.squares / self.count if self.count else 0.0
        return float(1.0 / np.sqrt(variance)) if variance > 1e-8 else 1.0
