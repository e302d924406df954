"""Tells the league who won, and keeps the match records."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from marl_app.rllib.sampling.fragments import Fragment
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.events import MatchCallback
from marl_app.rllib.training.postponed import postponed


class RecordOutcomes(MatchCallback):
    """Every result goes to the league and, with the reason for the match, to `matches/`."""

    def on_fragment(self, *, algorithm: MatchAlgorithm, fragment: Fragment, **kwargs: Any) -> None:
        """Record one fragment's results."""
        outcomes = fragment.outcomes
        algorithm.league.record(outcomes)
        rows: dict[str, ArrayLike] = {
            "learner": np.full(len(outcomes.opponents), outcomes.learner),
            "opponent": list(outcomes.opponents),
            "rule": list(outcomes.rules),
            "side": outcomes.sides,
            "wins": outcomes.wins,
            "draws": outcomes.draws,
            "losses": outcomes.losses,
            "scores": outcomes.scores,
            "steps": outcomes.steps,
            "win_rate": np.array([reason.win_rate for reason in fragment.reasons], np.float32),
            "probability": np.array([reason.probability for reason in fragment.reasons], np.float32),
        }
        with postponed(algorithm, "matches/"):  # rows that find no room on the disk stay in memory
            algorithm.records.matches(algorithm.iteration + 1, rows)
