"""Averages of the metrics of several iterations, so that short iterations do not fill the disk with points."""

from __future__ import annotations

from collections.abc import Mapping

from marl_app.metrics.names import find_metric


class Averages:
    """Collects the metrics of iterations. False while there are none."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._sums)

    def add(self, values: Mapping[str, float]) -> None:
        """Add the metrics of one iteration. Raises KeyError for a key that is not in `names.py`, and adds nothing."""
        # A total is not averaged: the last value replaces the one before.
        totals = {key for key in values if find_metric(key).is_total}
        for key, value in values.items():
            before = key in self._sums and key not in totals
            self._sums[key] = self._sums[key] + value if before else value
            self._counts[key] = self._counts[key] + 1 if before else 1

    def pop(self) -> dict[str, float]:
        """Return the mean of each metric over the iterations that had it, and the last value of totals; begin again."""
        # The value of a total, or of a metric with one value, is returned as it is, without a division.
        means = {
            key: value if self._counts[key] == 1 else value / self._counts[key] for key, value in self._sums.items()
        }
        self._sums, self._counts = {}, {}
        return means
