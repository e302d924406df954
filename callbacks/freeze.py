"""Freezes the trainee into the snapshot pool when the league says so."""

from __future__ import annotations

from typing import Any

from marl_app.league.schedule import Progress
from marl_app.rllib.events import MatchCallback
from marl_app.rllib.match_algorithm import MatchAlgorithm


class FreezeAndPublish(MatchCallback):
    """Stores the learner's weights first, then tells the league: an opponent can always be loaded."""

    def on_train_result(self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any) -> None:
        """Carry out the league's decisions."""
        steps = algorithm.counters.trained_agent_steps
        for decision in algorithm.league.tick(Progress(agent_steps=steps, iteration=algorithm.iteration)):
            snapshot = algorithm.publish(decision)
            algorithm.fire("on_message", text=f"froze {snapshot.player.id}: {decision.reason}")
