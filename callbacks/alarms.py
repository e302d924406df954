"""Warns when something may be going wrong in the league."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marl_app.league.alarms import Alarms, Reading
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.callback import MatchCallback
from marl_app.rllib.training.events import CallbackResult


class WarnOfAlarms(MatchCallback):
    """Reads the league as its main learner sees it every `every_s` seconds of training, and keeps the last `keep`.

    Warns when an alarm begins, and reports each alarm as a metric, 1 while it rings. `thresholds` as in `Alarms`.
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

    def on_train_result(self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any) -> CallbackResult:
        """Take a reading if it is due, warn of alarms that begin, and report all of them."""
        if self._ringing is None:  # an alarm that rang when a resumed run stopped does not begin now
            self._ringing = self._alarms.check(algorithm.readings)
        reading, messages = None, []
        if algorithm.counters.seconds - self._read >= self._every_s:
            self._read = algorithm.counters.seconds
            reading = Reading.from_league(
                algorithm.league, algorithm.spec.main_learner, algorithm.standing(), algorithm.anchors
            )
            # `algorithm.readings` gets this reading when the algorithm accepts the answer below.
            before = self._ringing
            self._ringing = self._alarms.check([*algorithm.readings, reading][-self._keep :])
            messages = [
                f"warning: {text}" for name, text in self._ringing.items() if text is not None and before[name] is None
            ]
        metrics = {f"alarms/{name}": float(text is not None) for name, text in self._ringing.items()}
        return CallbackResult(metrics=metrics, messages=messages, reading=reading, keep_readings=self._keep)
