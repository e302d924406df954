"""A callback: how much of the optimal strategy the learner has found."""

from __future__ import annotations

from typing import Any

import numpy as np

from marl_app.players.agent import Agent
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.callback import MatchCallback
from marl_app.rllib.training.events import CallbackResult


class CountWinningMoves(MatchCallback):
    """Reports the share of the won positions in which the greedy learner takes the winning number of stones.

    The curve is `custom/winning_moves`; the names of all metrics of a project begin with `custom/`.
    """

    def on_train_result(self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any) -> CallbackResult:
        agent = Agent(algorithm.snapshots.encode(algorithm.spec.main_learner))
        positions = agent.spaces_of(0)[0].shape[0]
        left = np.array([number for number in range(1, positions) if number % 4])
        masks = np.arange(1, 4) <= left[:, None]  # [positions, 3]
        taken = 1 + agent.act(np.eye(positions, dtype=np.int8)[left], masks, greedy=True)
        self._found, self._all = int((taken == left % 4).sum()), len(left)
        return CallbackResult(metrics={"custom/winning_moves": self._found / self._all})

    def on_run_end(self, *, algorithm: MatchAlgorithm, status: str, **kwargs: Any) -> CallbackResult | None:
        if not hasattr(self, "_found"):  # the run ended in its first iteration
            return None
        return CallbackResult(messages=(f"stones: {self._found} of {self._all} winning moves found",))
