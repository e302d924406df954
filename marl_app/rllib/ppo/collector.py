"""PPO's collector: rows of each network with advantages (see `experience.py`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns

from marl_app.envs.batched import Step
from marl_app.rllib.ppo.experience import Experience
from marl_app.rllib.sampling.collector import Batches, Runner

Array = NDArray[Any]
Ints = NDArray[np.int64]


class RowCollector:
    """Collects the rows of each network separately."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        env, config = runner.env, runner.config
        # Only architectures with a memory are trained on sequences.
        length = getattr(config.spec.architecture, "max_seq_len", 1)
        self._experience = [
            Experience(env.num_matches, len(env.agents), len(network.agents), runner.steps, length)
            for network in runner.networks
        ]

    def add_decisions(self, index: int, matches: Ints, agents: Ints, columns: dict[str, Array]) -> None:
        """Add rows to the network's experience."""
        if not self._runner.config.use_kl_loss:  # only the KL term reads the old policy's distribution
            columns = {name: values for name, values in columns.items() if name != Columns.ACTION_DIST_INPUTS}
        self._experience[index].add_decisions(matches, agents, columns)

    def add_step(self, step: Step, rewards: Array) -> None:
        """Credit rewards, and close the rows of agents whose episodes were terminated or truncated."""
        # The order matters: a row that is closed takes no more rewards, and an agent that was both terminated and
        # truncated must not be bootstrapped.
        for experience in self._experience:
            experience.add_rewards(rewards)
            experience.close_terminated(step.terminated)
        if step.truncated.any():
            self._bootstrap(step.truncated)

    def _bootstrap(self, agents_mask: Array) -> None:
        """Close the open rows of agents, bool [B, agents], with the critic's value of what they observe now."""
        for index, experience in enumerate(self._experience):
            matches, agents = experience.open_rows(agents_mask)
            if len(matches):
                experience.close_bootstrapped(matches, agents, self._runner.values(index, matches, agents))

    def pop_batches(self) -> tuple[Batches, int]:
        """Return columns with advantages, computed with the weights that collected them."""
        runner = self._runner
        # Agents that act next are bootstrapped from what they observe. Rows of agents that wait for their turn stay
        # open, and are held over to the next fragment.
        self._bootstrap(runner.env.acting())
        batches = {
            network.name: experience.pop_batch(runner.config.gamma, runner.config.lambda_)
            for network, experience in zip(runner.networks, self._experience, strict=True)
        }
        return batches, sum(len(batch[Columns.OBS]) for batch in batches.values() if batch)
