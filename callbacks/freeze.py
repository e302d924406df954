"""Freezes learners into the snapshot pool when the league's schedule decides so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from marl_app.league.schedule import TrainingProgress
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.callback import MatchCallback
from marl_app.rllib.training.events import CallbackResult


class FreezeAndPublish(MatchCallback):
    """Stores a learner's weights, then adds the snapshot to the league: every opponent in the league can be loaded.

    After that the learner is reset, if the decision says so. While the store cannot be written no learner is frozen.
    """

    def on_train_result(
        self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any
    ) -> Iterator[CallbackResult]:
        """Carry out the schedule's decisions."""
        steps = {learner: trainee.agent_steps for learner, trainee in algorithm.totals.items()}
        progress = TrainingProgress(steps, algorithm.iteration, algorithm.share_done())
        for decision in algorithm.league.tick(progress, algorithm.rng):
            snapshot = None
            with algorithm.disk_errors.postpone(f"freezing {decision.learner}"):
                snapshot = algorithm.snapshots.freeze(decision)
            if snapshot is None:
                continue  # the schedule decides again in the next iteration
            yield CallbackResult(messages=[f"froze {snapshot.player.id}: {decision.reason}"])
            # After the freeze: the learner may be reset to the snapshot that was just made.
            if decision.reset_to is not None:
                yield CallbackResult(messages=[algorithm.snapshots.reset(decision.learner, decision.reset_to)])
            # The pool is thinned when a snapshot joins it.
            dropped = [f"{drop.player} left the pool: {drop.reason}" for drop in algorithm.league.dropped]
            yield CallbackResult(messages=dropped)
