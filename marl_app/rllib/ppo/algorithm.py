"""PPO over fragments of matches: RLlib's PPO loss, one update per trained network from ready columns."""

from __future__ import annotations

import numpy as np
import ray
from ray.rllib.core.columns import Columns
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from marl_app.players.networks import module_id
from marl_app.rllib.sampling.fragments import Fragment
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.config import LeaguePPOConfig


class LeaguePPO(MatchAlgorithm):
    """Trains the learners of a league by PPO."""

    config: LeaguePPOConfig

    @classmethod
    def get_default_config(cls) -> LeaguePPOConfig:
        """For RLlib."""
        return LeaguePPOConfig(cls)

    def _learn(self, learner: str, fragments: list[Fragment]) -> None:
        """One update of each network of the learner from its own batch.

        Together in one call the small batches would be recycled until the largest is covered.
        """
        config = self.config
        for network in config.networks:
            parts = [fragment.batches[network.name] for fragment in fragments if fragment.batches[network.name]]
            if not parts:
                continue
            columns = {
                name: parts[0][name] if len(parts) == 1 else np.concatenate([part[name] for part in parts])
                for name in parts[0]
            }
            if config.normalize_advantages:
                columns[Columns.ADVANTAGES] = standardized(columns[Columns.ADVANTAGES])
            id = module_id(learner, network.name, config.networks)
            batch = MultiAgentBatch({id: SampleBatch(columns)}, env_steps=self.stats.env_steps)
            remote = config.num_learners
            results = self.learner_group.update(
                batch=None if remote else batch,
                batch_refs=[ray.put(batch)] * remote if remote else None,  # the whole of it for each (see `learner.py`)
                timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.counters.env_steps},
                num_epochs=config.num_epochs,
                minibatch_size=config.minibatch_size,
                shuffle_batch_per_epoch=config.shuffle_batch_per_epoch,
            )
            self.metrics.aggregate(results, key=LEARNER_RESULTS)
        self.counters.updates += 1
        self.trainees[learner].updates += 1


def standardized(advantages: np.ndarray) -> np.ndarray:
    """Advantages with mean 0 and standard deviation 1 over the whole batch, as RLlib's PPO does; float32."""
    return (advantages - advantages.mean()) / max(1e-4, float(advantages.std()))
