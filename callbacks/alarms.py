"""Warns when something may be going wrong in the league."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marl_app.league.alarms import Alarms, Reading
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.events import MatchCallback


class WarnOfAlarms(MatchCallback):
    """Every `every_s` seconds of training a reading of the league as its first learner sees it; the last `keep` count.

    Says so when an alarm begins, and reports each as a metric, 1 while it rings. `thresholds` as in `Alarms`.
    """

    def __init__(self, every_s: float, keep: int, thresholds: Mapping[str, Mapping[str, float]]) -> None:
        super().__init__()
        if keep < 2:
            raise ValueError(f"keep={keep}: alarms compare readings, so keep >= 2 of them")
        self._every_s = every_s
        self._keep = keep
        self._alarms = Alarms(thresholds)
        self._ringing: dict[str, str | None] | None = None
        self._read = float("-inf")

    def on_train_result(self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any) -> None:
        """Take a reading if it is time, warn, and report."""
        if self._ringing is None:  # what rang when a resumed run stopped does not begin now
            self._ringing = self._alarms.check(algorithm.readings)
        if algorithm.counters.seconds - self._read >= self._every_s:
            self._take(algorithm)
            before, self._ringing = self._ringing, self._alarms.check(algorithm.readings)
            for name, text in self._ringing.items():
                if text is not None and before[name] is None:
                    algorithm.fire("on_message", text=f"warning: {text}")
        algorithm.report |= {f"alarms/{name}": float(text is not None) for name, text in self._ringing.items()}

    def _take(self, algorithm: MatchAlgorithm) -> None:
        learner = algorithm.config.learner
        reading = Reading.from_league(algorithm.league, learner, algorithm.standing(), algorithm.anchors)
        algorithm.readings = [*algorithm.readings, reading][-self._keep :]
        self._read = algorithm.counters.seconds
