"""Running mean and variance of numbers and of tensors, by merging the moments of two samples.

Chan, Golub and LeVeque, 1983, "Algorithms for computing the sample variance". The formula E[x^2] - E[x]^2 is not used:
with a large mean its rounding error in float32 exceeds the variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Values = TypeVar("Values", bound=Any)
"""float, a numpy array or a torch tensor."""


def merge_moments(
    mean: Values, variance: Values, other_mean: Values, other_variance: Values, share: Any
) -> tuple[Values, Values]:
    """Return mean and variance of a mixture of two samples, in which the other sample has weight `share` in [0, 1].

    Two samples of n and m numbers merge with share = m / (n + m); an exponential average has a constant share.
    """
    delta = other_mean - mean
    # Variance within both samples, and between their means.
    return mean + share * delta, variance + share * (other_variance + (1 - share) * delta**2 - variance)


@dataclass
class Moments:
    """Count, mean and sum of squared deviations from the mean of all numbers so far."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def update(self, values: NDArray[Any]) -> None:
        """Include the numbers of an array of any shape."""
        # `var` is the mean squared deviation, so times the count it is the sum.
        self.merge(Moments(values.size, float(values.mean()), float(values.var()) * values.size))

    def merge(self, other: Moments) -> None:
        """Include all numbers of other moments."""
        if not other.count:
            return
        total = self.count + other.count
        variance, other_variance = self.squares / max(1, self.count), other.squares / other.count
        self.mean, variance = merge_moments(self.mean, variance, other.mean, other_variance, other.count / total)
        self.count, self.squares = total, variance * total

    @property
    def scale(self) -> float:
        """1 / standard deviation, or 1 while the variance is (nearly) zero."""
        variance = self.squares / self.count if self.count else 0.0
        return float(1.0 / np.sqrt(variance)) if variance > 1e-8 else 1.0
