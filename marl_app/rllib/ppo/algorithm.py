"""PPO over fragments of matches: RLlib's PPO loss, one update per trained network from ready columns."""

from __future__ import annotations

from typing import Self

import numpy as np
import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from marl_app.players.networks import module_id
from marl_app.rllib.ppo.collector import RowCollector
from marl_app.rllib.ppo.learner import MinibatchPPOLearner
from marl_app.rllib.run_spec import RunSpec
from marl_app.rllib.sampling.collector import Collector
from marl_app.rllib.sampling.fragments import Fragment
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.config import MatchConfig


class LeaguePPOConfig(MatchConfig, PPOConfig):
    """RLlib's PPOConfig for a run of matches."""

    rllib_settings = (
        *MatchConfig.rllib_settings,
        "lambda_",
        "clip_param",
        "vf_loss_coeff",
        "entropy_coeff",
        "use_kl_loss",
        "kl_coeff",
        "kl_target",
        "num_epochs",
        "shuffle_batch_per_epoch",
    )

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or LeaguePPO)

    @property
    def collector_class(self) -> type[Collector]:
        """Rows with advantages."""
        return RowCollector

    def for_run(self, spec: RunSpec) -> Self:
        """As every algorithm; `vf_clip_param=null`, no clipping, is infinity for RLlib."""
        super().for_run(spec)
        bound = spec.settings.algorithm.vf_clip_param
        self.training(vf_clip_param=float("inf") if bound is None else bound)
        return self

    def get_default_learner_class(self) -> type[MinibatchPPOLearner]:
        """Return the learner class (called by RLlib)."""
        return MinibatchPPOLearner


class LeaguePPO(MatchAlgorithm):
    """Trains the learners of a league by PPO."""

    config: LeaguePPOConfig

    @classmethod
    def get_default_config(cls) -> LeaguePPOConfig:
        """For RLlib."""
        return LeaguePPOConfig(cls)

    def train_learner(self, learner: str, fragments: list[Fragment]) -> None:
        """Update each network of the learner from its own batch.

        One call per network: in a common call RLlib would repeat the small batches until the largest is covered.
        """
        config, spec = self.config, self.spec
        for network in spec.networks:
            parts = [fragment.batches[network.name] for fragment in fragments if fragment.batches[network.name]]
            if not parts:
                continue
            columns = {
                name: parts[0][name] if len(parts) == 1 else np.concatenate([part[name] for part in parts])
                for name in parts[0]
            }
            if spec.settings.algorithm.normalize_advantages:
                columns[Columns.ADVANTAGES] = standardized(columns[Columns.ADVANTAGES])
            id = module_id(learner, network.name, spec.networks)
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
