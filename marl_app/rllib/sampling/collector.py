"""From what an env runner plays to what an algorithm is trained on; the algorithm's configuration says which collector.

An env runner tells its collector each decision and each step, and takes a fragment's training columns in the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns

from marl_app.envs.batched import Step
from marl_app.rllib.ppo.experience import Experience

if TYPE_CHECKING:
    from marl_app.rllib.sampling.env_runner import MatchEnvRunner

Array = NDArray[Any]
Ints = NDArray[np.int64]
Batches = dict[str, dict[str, Array]]
"""Training columns by the name of a network."""


class Collector(Protocol):
    """What an env runner asks of it. It is made anew when all matches start anew."""

    def __init__(self, runner: MatchEnvRunner) -> None: ...

    def decided(self, index: int, matches: Ints, agents: Ints, columns: dict[str, Array]) -> None:
        """Decisions of network `index` for agents of matches: columns [R, ...], those of the trainee only."""

    def stepped(self, step: Step, rewards: Array) -> None:
        """What the step brought, `rewards` [B, agents] as they are trained on; matches that ended are not reset yet."""

    def take(self) -> tuple[Batches, int]:
        """The fragment that ends here as training columns, and how many of the trainee's actions are in it."""


class RowCollector:
    """Rows of each network, for itself: what PPO is trained on (see `experience.py`)."""

    def __init__(self, runner: MatchEnvRunner) -> None:
        self._runner = runner
        env, config = runner.env, runner.config
        length = getattr(config.architecture, "max_seq_len", 1)
        self._experience = [
            Experience(env.num_matches, len(env.agents), len(network.agents), runner.steps, length)
            for network in runner.networks
        ]

    def decided(self, index: int, matches: Ints, agents: Ints, columns: dict[str, Array]) -> None:
        """Note the rows."""
        if not self._runner.config.use_kl_loss:
            columns = {name: values for name, values in columns.items() if name != Columns.ACTION_DIST_INPUTS}
        self._experience[index].add(matches, agents, columns)

    def stepped(self, step: Step, rewards: Array) -> None:
        """Credit rewards, and close the rows of agents that have finished or were cut off."""
        for experience in self._experience:
            experience.reward(rewards)
            experience.terminate(step.finished)
        if step.truncated.any():
            self._bootstrap(np.broadcast_to(step.truncated[:, None], step.finished.shape))

    def _bootstrap(self, among: Array) -> None:
        """Close the rows of agents, bool [B, agents], whose episodes go on unseen, with what they see now."""
        for index, experience in enumerate(self._experience):
            matches, agents = experience.waiting(among)
            if len(matches):
                experience.bootstrap(matches, agents, self._runner.values(index, matches, agents))

    def take(self) -> tuple[Batches, int]:
        """Columns with advantages, by the weights that collected."""
        runner = self._runner
        self._bootstrap(runner.env.acting())
        batches = {
            network.name: experience.batch(runner.config.gamma, runner.config.lambda_)
            for network, experience in zip(runner.networks, self._experience, strict=True)
        }
        return batches, sum(len(batch[Columns.OBS]) for batch in batches.values() if batch)
