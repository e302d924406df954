"""Value decomposition: off-policy Q-learning of a cooperative team's value. VDN (Sunehag et al., 2018), QMIX (Rashid
et al., 2018).

Env runners, league (of one learner), checkpoints and callbacks are those of every `MatchAlgorithm`. Added are a replay
buffer and a schedule of epsilon, both in the algorithm's process. The buffer is not in checkpoints, as in the authors'
PyMARL: a resumed run fills it again before it learns. In this folder: settings (keys), collector (env runner: segments
of joint steps), replay, learner (TD loss), mixers (value of the team from values of its agents).
"""

from __future__ import annotations

from contextlib import closing
from typing import Any, Self

import numpy as np
from gymnasium import spaces
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from marl_app.config.errors import ConfigError
from marl_app.envs.batched import BatchedEnv
from marl_app.envs.random_play import random_actions
from marl_app.players.central_state import central_state_size
from marl_app.players.networks import multi_module_spec
from marl_app.rllib.run_spec import RunSpec
from marl_app.rllib.sampling.collector import Collector
from marl_app.rllib.sampling.fragments import Fragment, Weights
from marl_app.rllib.schedules import value_at
from marl_app.rllib.team_q.collector import TEAM, TeamCollector
from marl_app.rllib.team_q.learner import TeamLearner
from marl_app.rllib.team_q.mixers import MIXERS, Mixer
from marl_app.rllib.team_q.replay import Replay
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.config import MatchConfig


class TeamQConfig(MatchConfig):
    """MatchConfig with a mixer next to the networks of the one learner."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or TeamQ)

    @property
    def collector_class(self) -> type[Collector]:
        """Segments of joint steps."""
        return TeamCollector

    def get_default_learner_class(self) -> type[TeamLearner]:
        """Return the learner class (called by RLlib)."""
        return TeamLearner

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """Return a spec, which RLlib requires although every module has a spec already."""
        return RLModuleSpec(module_class=self.spec.architecture.module_class)

    @property
    def mixer_class(self) -> type[Mixer]:
        """The module class of the configured mixer."""
        return MIXERS[self.settings.mixer]

    def module_id(self, name: str) -> str:
        """Return the id, in RLlib's learner, of a network, or of the mixer (TEAM)."""
        learner = self.spec.main_learner
        return f"{learner}.{TEAM}" if name == TEAM else self.spec.module_ids(learner)[name]

    def check_supported(self, env: BatchedEnv, settings: Any) -> None:
        """Raise ConfigError unless the environment is one team of agents with discrete actions that act every step."""
        # The first requirement that is not met is named.
        env.reset(np.random.default_rng(0))
        if len(env.sides) > 1:
            problem = f"one cooperative side, and this environment has {len(env.sides)}: set env.sides, or use"
        elif not all(isinstance(group.action_space, spaces.Discrete) for group in env.groups):
            problem = "discrete actions, which this environment does not have: use"
        elif not env.acting().all():
            problem = "agents that move simultaneously, and here they take turns: use"
        elif not _all_act(env):
            problem = "agents that act until the end of a match, and here some leave or join later: use"
        else:
            return
        raise ConfigError(f"algorithm.mixer={settings.mixer}: value decomposition needs {problem} algorithm=mappo")

    def for_run(self, spec: RunSpec) -> Self:
        """As every algorithm, with a mixer."""
        super().for_run(spec)
        settings = self.settings
        with closing(spec.make_env(1)) as env:
            # All agents are on one side, so one state serves all.
            size = central_state_size(env, range(len(env.agents)))
        # The mixer is one more module of the learner, next to the networks, with the team's state as its observation.
        mixer = RLModuleSpec(
            module_class=self.mixer_class,
            observation_space=spaces.Box(-np.inf, np.inf, (size,), np.float32),
            action_space=spaces.Discrete(1),  # unused: the mixer takes the agents' values, and RLlib requires a space
            model_config={
                "agents": len(spec.agents),
                "state_size": size,
                "mixing_embed_dim": settings.mixing_embed_dim,
                "hypernet_embed": settings.hypernet_embed,
                "normalize_state": spec.architecture.normalize_observations,
            },
        )
        networks = multi_module_spec([spec.main_learner], spec.networks, spec.architecture)
        modules = {**networks.rl_module_specs, self.module_id(TEAM): mixer}
        self.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=modules))
        return self


class TeamQ(MatchAlgorithm):
    """Trains a team by value decomposition, from the replay buffer `replay`."""

    config: TeamQConfig

    @classmethod
    def get_default_config(cls) -> TeamQConfig:
        """Return the default configuration (called by RLlib)."""
        return TeamQConfig(cls)

    def setup(self, config: TeamQConfig) -> None:
        """As every algorithm, with an empty replay buffer."""
        self.replay = Replay(config.settings.replay_capacity)
        super().setup(config)

    @property
    def epsilon(self) -> float:
        """Probability of a random action in the experience that is collected now."""
        return value_at(self.config.settings.epsilon, self.counters.env_steps)

    def exploration(self) -> Weights:
        """Return epsilon for each network; saved players play greedily."""
        # In the learner this buffer stays 0, so frozen players are greedy.
        epsilon = np.array(self.epsilon, np.float32)
        return {f"{network.name}/epsilon": epsilon for network in self.spec.networks}

    def metrics_of_iteration(self) -> dict[str, float]:
        """Exploration and replay."""
        replay = self.replay
        return {"exploration/epsilon": self.epsilon, "replay/rows": replay.rows, "replay/bytes": replay.nbytes}

    def train_learner(self, learner: str, fragments: list[Fragment]) -> None:
        """Add the fragments to the replay buffer; then make the gradient steps that `training_intensity` asks for."""
        config, settings = self.config, self.config.settings
        # 1. Store the experience, also before learning starts.
        for fragment in fragments:
            self.replay.add_fragment(fragment.batches)
        if self.replay.rows < settings.num_steps_sampled_before_learning_starts:
            return
        # training_intensity: how many times an env step is trained on, on average. Minibatches are whole segments.
        updates = max(1, round(settings.training_intensity * self.stats.env_steps / config.minibatch_size))
        segments = max(1, round(config.minibatch_size / self.replay.mean_length))
        # One batch for all steps of this update: the learner cuts it into minibatches of `segments`.
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
        self.totals[learner].updates += 1


def _all_act(env: BatchedEnv) -> bool:
    """Return whether all agents act in every step of 200 of random play."""
    # By play, since an environment does not state whether agents leave or join.
    rng = np.random.default_rng(0)
    for _ in range(200):
        if not env.acting().all():
            return False
        step = env.step(random_actions(env, rng), rng)
        env.reset(rng, step.over.nonzero()[0])
    return True
