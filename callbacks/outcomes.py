"""Writes match records: every result with the reason for the match."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from marl_app.rllib.sampling.fragments import Fragment
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.callback import MatchCallback


class RecordOutcomes(MatchCallback):
    """Writes every result, with the rule that chose the opponent, to `matches/`."""

    def on_fragment(self, *, algorithm: MatchAlgorithm, fragment: Fragment, **kwargs: Any) -> None:
        """Write one fragment's results."""
        outcomes = fragment.outcomes
        # A row per opponent, rule and side of the trainee, not per match.
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
        with algorithm.disk_errors.postpone("matches/"):  # rows for which the disk has no room stay in memory
            algorithm.records.add_matches(algorithm.iteration + 1, rows)
