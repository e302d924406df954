"""A learner that plays its own matches (`runtime.num_learners=n runtime.num_env_runners=0`).

Experience stays in the process that makes it, and so do the weights: a request brings none, and the answer has
outcomes, counts and times.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from marl_app.rllib.sampling.collector import Batches
from marl_app.rllib.sampling.env_runner import MatchEnvRunner
from marl_app.rllib.sampling.fragments import Failure, Fragment, Request, Weights


class PlayingLearner:
    """Part of an RLlib Learner: an env runner in the same process, made when it is first asked to play."""

    config: Any
    module: Any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._env_runner: MatchEnvRunner | None = None
        self._played: dict[str, list[Batches]] = {}  # by player: rows that were not trained on yet

    def sample(self, *, request: Request) -> Fragment | Failure:
        """Play a fragment, as `MatchEnvRunner.sample`, with the weights of this learner. Keep its training columns."""
        if self._env_runner is None:
            self._env_runner = MatchEnvRunner(config=self.config)
        # The driver sends no weights of learners, only their names: they are read from the modules of this process.
        opponents = {name: self._weights(name) for name in request.learner_opponents}
        weights = self._weights(request.learner)
        answer = self._env_runner.sample(request=replace(request, weights=weights, learner_opponents=opponents))
        if isinstance(answer, Failure):
            return answer
        assert isinstance(answer.batches, dict)
        # The columns stay here until this process is trained on them; the driver gets counts and results.
        self._played.setdefault(request.learner, []).append(answer.batches)
        return replace(answer, batches={})

    def pop_played(self, player: str) -> list[Batches]:
        """Return the training columns of the fragments that were played for a player since the last call."""
        return self._played.pop(player, [])

    def shutdown(self) -> None:
        """Close the environment."""
        if self._env_runner is not None:
            self._env_runner.stop()

    def _weights(self, player: str) -> Weights:
        """Return a player's weights as they are now: views of the tensors that are trained, if these are on a CPU."""
        return {
            f"{network}/{name}": value.detach().cpu().numpy()
            for network, module_id in self.config.spec.module_ids(player).items()
            for name, value in self.module[module_id].state_dict().items()
        }
