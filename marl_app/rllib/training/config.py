"""RLlib's configuration, plus what matches need: of any algorithm, and of PPO."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo import PPOConfig

from marl_app.config.schema import StopConfig
from marl_app.envs.batched import MakeEnv
from marl_app.league.league import League
from marl_app.league.players import Guest
from marl_app.players.modules.actor_critic import Architecture
from marl_app.players.networks import Network, module_id, multi_module_spec
from marl_app.rllib.ppo.learner import MinibatchPPOLearner
from marl_app.rllib.sampling.collector import Collector, RowCollector
from marl_app.rllib.sampling.env_runner import MatchEnvRunner
from marl_app.store.reader import CacheOption, Direct
from marl_app.store.store import Store


class MatchConfig(AlgorithmConfig):
    """AlgorithmConfig plus what matches need; see `matches`."""

    rllib_settings: ClassVar[tuple[str, ...]] = (
        "lr",
        "gamma",
        "grad_clip",
        "grad_clip_by",
        "train_batch_size_per_learner",
        "minibatch_size",
    )
    """Keys of `algorithm` that are RLlib's."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class)
        self.env_runner_cls = MatchEnvRunner
        self.rollout_fragment_length = "auto"  # the batch, divided among all matches
        # An env runner's state is its configuration and the request in hand: there is nothing to sync.
        self._dont_auto_sync_env_runner_states = True
        self.merge_env_runner_states = False
        self.broadcast_env_runner_states = False
        self.add_default_connectors_to_learner_pipeline = False
        self.run_dir = ""
        self.trainees: Mapping[str, float] = {"main": 1.0}
        self.guests: tuple[Guest, ...] = ()
        self.turn = 1
        self.make_env: MakeEnv | None = None
        self.make_league: Callable[[], League] | None = None
        self.store: Store | None = None
        self.cache: CacheOption = Direct()
        self.architecture: Architecture | None = None
        self.agents: tuple[str, ...] = ()
        self.networks: tuple[Network, ...] = ()
        self.opponent_slots = 1
        self.pipeline = False
        self.prefetch = False
        self.placement_tolerance = 0.0
        self.no_progress_timeout_s = 120.0
        self.stop: StopConfig | None = None
        self.hparams: dict[str, Any] = {}
        self.normalize_rewards = False
        self.death_masking = True

    @property
    def learner(self) -> str:
        """The first learner: the one that is evaluated and shown."""
        return next(iter(self.trainees))

    @property
    def collector_class(self) -> type[Collector]:
        """What makes training columns of what is played."""
        raise NotImplementedError

    def build_env_to_module_connector(self, *args: Any, **kwargs: Any) -> None:
        """None: our env runner hands arrays to its networks."""

    def build_module_to_env_connector(self, *args: Any, **kwargs: Any) -> None:
        """None: our env runner takes arrays from its networks."""

    def matches(
        self,
        *,
        run_dir: str,
        trainees: Mapping[str, float],
        turn: int,
        make_env: MakeEnv,
        make_league: Callable[[], League],
        store: Store,
        architecture: Architecture,
        agents: tuple[str, ...],
        networks: tuple[Network, ...],
        opponent_slots: int,
        pipeline: bool,
        no_progress_timeout_s: float,
        stop: StopConfig,
        hparams: dict[str, Any],
        guests: tuple[Guest, ...] = (),
        prefetch: bool = False,
        placement_tolerance: float = 0.0,
        **settings: Any,
    ) -> Self:
        """What is played, by which networks, against whom, and where the run lies.

        trainees: who trains, with their shares of the env steps; a turn is `turn` iterations.
        pipeline: sample the next fragments while learning from the last ones (their weights are one update old).
        no_progress_timeout_s: a run that gets no experience for so long ends with the reason.
        hparams: the run's configuration, flat, for TensorBoard.
        guests: who sits in the pool from the beginning; their bytes are in the store.
        prefetch: deal one request ahead, so that env runners fetch the next opponents while they play.
        placement_tolerance: how far assignments may prefer whom an env runner or its rack holds.
        settings: those of the algorithm that RLlib's `training` does not have; the schema says what they mean.
        """
        for name, value in {**locals(), **settings}.items():
            if name not in ("self", "__class__", "settings"):
                setattr(self, name, value)
        self.multi_agent(
            policies={module_id(learner, network.name, networks) for learner in trainees for network in networks},
            policy_mapping_fn=_unused_mapping,
        )
        self.rl_module(rl_module_spec=multi_module_spec(trainees, networks, architecture))
        return self


class LeaguePPOConfig(MatchConfig, PPOConfig):
    """PPOConfig plus what matches need."""

    rllib_settings = (
        *MatchConfig.rllib_settings,
        "lambda_",
        "clip_param",
        "vf_clip_param",
        "vf_loss_coeff",
        "entropy_coeff",
        "use_kl_loss",
        "kl_coeff",
        "kl_target",
        "num_epochs",
        "shuffle_batch_per_epoch",
    )

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class)
        self.huber_delta: float | None = None
        self.normalize_advantages = True
        self.normalize_values = False

    @property
    def collector_class(self) -> type[Collector]:
        """Rows with advantages."""
        return RowCollector

    def get_default_learner_class(self) -> type[MinibatchPPOLearner]:
        """For RLlib."""
        return MinibatchPPOLearner


def _unused_mapping(agent_id: Any, episode: Any, **kwargs: Any) -> str:
    """RLlib wants a mapping function; our env runner goes by `networks_of`."""
    raise RuntimeError("MatchEnvRunner maps agents to networks itself")
