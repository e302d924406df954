"""Asks the league whom to play, for every request for experience."""

from __future__ import annotations

from typing import Any

from marl_app.rllib.sampling.fragments import Request
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.events import MatchCallback


class SampleOpponents(MatchCallback):
    """Fills in the assignment of each request."""

    def on_sample_request(self, *, algorithm: MatchAlgorithm, request: Request, **kwargs: Any) -> None:
        """Deal opponents, at most as many as an env runner can take on at once."""
        request.assignment = algorithm.assign(request)
