"""RLlib's AlgorithmConfig for a run of matches; each algorithm has a subclass with its collector and its learner."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

from marl_app.config.errors import ConfigError
from marl_app.envs.batched import BatchedEnv
from marl_app.league.reset import RESET_PROBABILITY
from marl_app.players.networks import multi_module_spec
from marl_app.rllib.run_spec import RunSpec
from marl_app.rllib.sampling.collector import Collector
from marl_app.rllib.sampling.env_runner import MatchEnvRunner
from marl_app.rllib.training.learners import Learners
from marl_app.rllib.training.match_learner import MatchLearner, ResettableLearner
from marl_app.rllib.training.tunable_config import TunableConfig


class MatchConfig(TunableConfig):
    """AlgorithmConfig with the `spec` of a run: the configuration's own keys are read from `spec.settings`.

    `spec` is None as long as users set it up: `TunableConfig`.
    """

    spec: RunSpec
    rllib_settings: ClassVar[tuple[str, ...]] = (
        "lr",
        "gamma",
        "grad_clip",
        "grad_clip_by",
        "train_batch_size_per_learner",
        "minibatch_size",
    )
    """Keys of `algorithm` that go to RLlib's `training`, under the same names. Others are read from `settings`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.keys_of_rllib = cls.keys_of_rllib | {name: f"algorithm.{name}" for name in cls.rllib_settings}

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class)
        self.env_runner_cls = MatchEnvRunner
        # The state of an env runner is its configuration and the request that it answers: nothing has to be synced.
        self._dont_auto_sync_env_runner_states = True
        self.merge_env_runner_states = False
        self.broadcast_env_runner_states = False
        self.add_default_connectors_to_learner_pipeline = False

    @property
    def settings(self) -> Any:
        """The section `algorithm` of the configuration."""
        return self.spec.settings.algorithm

    @property
    def collector_class(self) -> type[Collector]:
        """What makes training columns of played matches."""
        raise NotImplementedError

    @property
    def batches_by_reference(self) -> bool:
        """Whether env runners leave training columns in Ray's object store, from where learners fetch them."""
        return False

    def build_learner_group(
        self, *, env: Any = None, spaces: Any = None, rl_module_spec: Any = None, **kwargs: Any
    ) -> Learners:
        """Return the learners (called by RLlib)."""
        module_spec = rl_module_spec or self.get_multi_rl_module_spec(env=env, spaces=spaces)
        return Learners(config=self.copy(), module_spec=module_spec, **kwargs)

    def build_env_to_module_connector(self, *args: Any, **kwargs: Any) -> None:
        """Return None: the env runner passes arrays to its networks itself."""

    def build_module_to_env_connector(self, *args: Any, **kwargs: Any) -> None:
        """Return None: the env runner takes arrays from its networks itself."""

    def check_supported(self, env: BatchedEnv, settings: Any) -> None:
        """Raise ConfigError, naming the key of `algorithm`, if the algorithm cannot be used in this environment.

        settings: the section `algorithm`. Called before `for_run`, so `self.spec` is not set yet.
        """

    def for_run(self, spec: RunSpec) -> Self:
        """Set the run, RLlib's settings that follow from it, and one module per learner and network."""
        algorithm, runtime, batch = spec.settings.algorithm, spec.settings.runtime, spec.settings.batch_steps
        self.spec = spec
        self._check_learner()
        # RLlib requires a name. The env runner makes its environment by `spec.make_env`.
        self.environment(env="matches", disable_env_checking=True)
        self.training(**{name: getattr(algorithm, name) for name in self.rllib_settings})
        self.training(
            # The settings count the rows of all learners; RLlib's are per learner.
            train_batch_size_per_learner=math.ceil(batch / max(1, runtime.num_learners)),
            minibatch_size=math.ceil((spec.settings.minibatch_rows or batch) / max(1, runtime.num_learners)),
        )
        self.env_runners(
            num_env_runners=runtime.num_env_runners,
            num_envs_per_env_runner=runtime.num_envs_per_env_runner,
            rollout_fragment_length=spec.settings.fragment_steps,
            num_gpus_per_env_runner=runtime.num_gpus_per_env_runner,
            create_local_env_runner=runtime.num_env_runners == 0,
        )
        self.learners(num_learners=runtime.num_learners, num_gpus_per_learner=runtime.num_gpus_per_learner)
        self.fault_tolerance(
            restart_failed_env_runners=True,
            delay_between_env_runner_restarts_s=runtime.env_runner_restart_delay_s,
        )
        self.debugging(seed=None, log_level="ERROR")  # `seed_learner` uses the run's seed
        ids = [module_id for learner in spec.learner_shares for module_id in spec.module_ids(learner).values()]
        # A tuple: in the order of a set the networks would get other initial weights in each process.
        self.multi_agent(policies=tuple(ids), policy_mapping_fn=_unused_mapping)
        self.rl_module(rl_module_spec=multi_module_spec(spec.learner_shares, spec.networks, spec.architecture))
        return self

    def _check_learner(self) -> None:
        """Raise ConfigError if the learner class lacks methods that the run will call."""
        found = self.learner_class
        # A learner whose role is reset to other weights needs more methods.
        exploits = any(learner.role in RESET_PROBABILITY for learner in self.spec.settings.league.learners.values())
        for needed in (MatchLearner, *([ResettableLearner] if exploits else [])):
            if not issubclass(found, needed):
                raise ConfigError(
                    f"algorithm: {found.__name__} has not all methods of {needed.__name__}: see its docstring in "
                    f"{needed.__module__}"
                )


def _unused_mapping(agent_id: Any, episode: Any, **kwargs: Any) -> str:
    """RLlib requires a mapping function; the env runner maps agents to networks by `RunSpec.networks`."""
    raise RuntimeError("MatchEnvRunner maps agents to networks itself")
