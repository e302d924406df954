"""Freezes learners into the snapshot pool when the league says so."""

from __future__ import annotations

from typing import Any

from marl_app.league.schedule import TrainingProgress
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.events import MatchCallback
from marl_app.rllib.training.postponed import postponed


class FreezeAndPublish(MatchCallback):
    """Stores a learner's weights first, then tells the league: an opponent can always be loaded.

    After that the learner starts again, if so decided. While weights cannot be stored, nobody is frozen.
    """

    def on_train_result(self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any) -> None:
        """Carry out the league's decisions."""
        steps = {learner: trainee.agent_steps for learner, trainee in algorithm.trainees.items()}
        for decision in algorithm.league.tick(TrainingProgress(steps, algorithm.iteration), algorithm.rng):
            snapshot = None
            with postponed(algorithm, f"freezing {decision.learner}"):
                snapshot = algorithm.freeze(decision)
            if snapshot is None:
                continue  # the schedule says so again
            algorithm.fire("on_message", text=f"froze {snapshot.player.id}: {decision.reason}")
            if decision.reset_to is not None:
                algorithm.reset_learner(decision.learner, decision.reset_to)
            for drop in algorithm.league.dropped:
                algorithm.fire("on_message", text=f"{drop.player} left the pool: {drop.reason}")
