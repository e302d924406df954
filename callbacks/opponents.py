"""Samples the opponents of every request for experience, by the league's matchmaker."""

from __future__ import annotations

from typing import Any

from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.assignments import RunnerAssignment
from marl_app.rllib.training.callback import MatchCallback


class SampleOpponents(MatchCallback):
    """Answers every request with opponents that the matchmaker sampled."""

    def on_sample_request(
        self, *, algorithm: MatchAlgorithm, learner: str, runner: int, **kwargs: Any
    ) -> RunnerAssignment:
        """Return as many opponents as the env runner can take on now."""
        return algorithm.assign_opponents(learner, runner)
