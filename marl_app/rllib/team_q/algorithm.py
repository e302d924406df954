"""Value decomposition: Q-learning of a cooperative team's value, off-policy (VDN, QMIX).

The env runners, the league (of one), checkpoints and callbacks are those of every `MatchAlgorithm`. What is added: a
replay buffer and a schedule of epsilon, both in the algorithm's process. The buffer is not in checkpoints, as with the
authors' PyMARL: a resumed run fills it again before it goes on learning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from marl_app.players.networks import module_id, multi_module_spec
from marl_app.rllib.sampling.collector import Collector
from marl_app.rllib.sampling.fragments import Fragment
from marl_app.rllib.team_q.collector import TEAM, TeamCollector
from marl_app.rllib.team_q.learner import TeamLearner
from marl_app.rllib.team_q.mixers import MIXERS
from marl_app.rllib.team_q.replay import Replay
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.config import MatchConfig


class TeamQConfig(MatchConfig):
    """MatchConfig with the settings of value decomposition, as the schema has them; `state_size` is the mixer's."""

    @property
    def collector_class(self) -> type[Collector]:
        """Joint steps."""
        return TeamCollector

    def get_default_learner_class(self) -> type[TeamLearner]:
        """For RLlib."""
        return TeamLearner

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """RLlib asks for one, although every module has its own."""
        return RLModuleSpec(module_class=self.architecture.module_class)

    @property
    def needs_state(self) -> bool:
        """Whether the mixer sees the global state."""
        return MIXERS[self.mixer].needs_state

    def module_id(self, name: str) -> str:
        """The id, in RLlib's learner, of a network, or of the mixer (TEAM)."""
        return f"{self.learner}.{TEAM}" if name == TEAM else module_id(self.learner, name, self.networks)

    def matches(self, **settings: Any) -> Self:
        """As MatchConfig, with a mixer beside the networks."""
        super().matches(**settings)
        spec = multi_module_spec([self.learner], self.networks, self.architecture)
        state = spaces.Box(-np.inf, np.inf, (self.state_size,), np.float32)
        mixer = RLModuleSpec(
            module_class=MIXERS[self.mixer],
            observation_space=state,
            action_space=spaces.Discrete(1),
            model_config={
                "agents": len(self.agents),
                "state_size": self.state_size,
                "mixing_embed_dim": self.mixing_embed_dim,
                "hypernet_embed": self.hypernet_embed,
                "normalize_state": self.architecture.normalize_observations,
            },
        )
        modules = {**spec.rl_module_specs, self.module_id(TEAM): mixer}
        return self.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=modules))


class TeamQ(MatchAlgorithm):
    """Trains a team by value decomposition. `replay` holds what it has played."""

    config: TeamQConfig

    @classmethod
    def get_default_config(cls) -> TeamQConfig:
        """For RLlib."""
        return TeamQConfig(cls)

    def setup(self, config: TeamQConfig) -> None:
        """As every algorithm, with an empty replay buffer."""
        self.replay = Replay(config.replay_capacity)
        super().setup(config)

    @property
    def epsilon(self) -> float:
        """Share of random actions in what is collected now."""
        steps, shares = zip(*self.config.epsilon, strict=True)
        return float(np.interp(self.counters.env_steps, steps, shares))

    def playing_weights(self, weights: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Exploration travels with the weights, to env runners only: players that are saved play greedily."""
        epsilon = np.array(self.epsilon, np.float32)
        return {**weights, **{f"{network.name}/epsilon": epsilon for network in self.config.networks}}

    def figures(self) -> dict[str, float]:
        """Exploration and replay."""
        replay = self.replay
        return {"exploration/epsilon": self.epsilon, "replay/rows": replay.rows, "replay/bytes": replay.nbytes}

    def _learn(self, learner: str, fragments: list[Fragment]) -> None:
        """Store what was played; then as many gradient steps as make up the training intensity, in one call."""
        config = self.config
        for fragment in fragments:
            self.replay.add(fragment.batches)
        if self.replay.rows < config.num_steps_sampled_before_learning_starts:
            return
        updates = max(1, round(config.training_intensity * self.stats.env_steps / config.minibatch_size))
        segments = max(1, round(config.minibatch_size / self.replay.mean_length))
        batches = self.replay.sample(updates * segments, self.rng)
        results = self.learner_group.update(
            batch=MultiAgentBatch(
                {config.module_id(name): SampleBatch(columns) for name, columns in batches.items()},
                env_steps=updates * config.minibatch_size,
            ),
            timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.counters.env_steps},
            minibatch_size=segments,
        )
        self.metrics.aggregate(results, key=LEARNER_RESULTS)
        self.counters.updates += 1
        self.trainees[learner].updates += 1
