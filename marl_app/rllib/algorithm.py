"""PPO over fragments of matches: an RLlib Algorithm with a training step, a league and callbacks of its own.

What RLlib does well stays RLlib's: the learner group and its PPO loss, env runner actors and their fault tolerance,
callbacks, metrics. What is ours: env runners that step whole batches of matches (`MatchEnvRunner`), one update per
trained network from ready columns, and overlap of sampling and learning.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.callbacks.utils import make_callback
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE
from ray.rllib.core.columns import Columns
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from marl_app import __version__
from marl_app.config.schema import StopConfig
from marl_app.league.league import Freeze, League
from marl_app.league.players import Player, Snapshot
from marl_app.metrics.records import Records
from marl_app.rllib.env_runner import MakeEnv, MatchEnvRunner
from marl_app.rllib.fragments import Failure, Fragment, Request
from marl_app.rllib.learner import MinibatchPPOLearner
from marl_app.rllib.networks import Model, Network, module_id, multi_module_spec
from marl_app.rllib.player import encode_player
from marl_app.rllib.report import report
from marl_app.store.store import Store

logger = logging.getLogger(__name__)

SAMPLE = "sample"
CONSECUTIVE_FAILURES = 3
"""An environment may raise now and then; this often in a row, and the run ends with the traceback."""
RATINGS_EVERY_S = 5.0


class NoProgress(RuntimeError):
    """No experience arrives any more; the message says why."""


class LeaguePPOConfig(PPOConfig):
    """PPOConfig plus what matches need; see `matches`."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or LeaguePPO)
        self.env_runner_cls = MatchEnvRunner
        # An env runner's state is its configuration and the request in hand: there is nothing to sync.
        self._dont_auto_sync_env_runner_states = True
        self.merge_env_runner_states = False
        self.broadcast_env_runner_states = False
        self.add_default_connectors_to_learner_pipeline = False
        self.run_dir = ""
        self.learner = "main"
        self.make_env: MakeEnv | None = None
        self.make_league: Callable[[], League] | None = None
        self.store: Store | None = None
        self.architecture: Model | None = None
        self.agents: tuple[str, ...] = ()
        self.networks: tuple[Network, ...] = ()
        self.policy_mapping: Mapping[str, str] | None = None
        self.agent_id = False
        self.opponent_slots = 1
        self.pipeline = False
        self.no_progress_timeout_s = 120.0
        self.stop: StopConfig | None = None
        self.hparams: dict[str, Any] = {}

    def get_default_learner_class(self) -> type[MinibatchPPOLearner]:
        """For RLlib."""
        return MinibatchPPOLearner

    def build_env_to_module_connector(self, *args: Any, **kwargs: Any) -> None:
        """None: our env runner hands arrays to its networks."""

    def build_module_to_env_connector(self, *args: Any, **kwargs: Any) -> None:
        """None: our env runner takes arrays from its networks."""

    def matches(
        self,
        *,
        run_dir: str,
        learner: str,
        make_env: MakeEnv,
        make_league: Callable[[], League],
        store: Store,
        architecture: Model,
        agents: tuple[str, ...],
        networks: tuple[Network, ...],
        policy_mapping: Mapping[str, str] | None,
        agent_id: bool,
        opponent_slots: int,
        pipeline: bool,
        no_progress_timeout_s: float,
        stop: StopConfig,
        hparams: dict[str, Any],
    ) -> LeaguePPOConfig:
        """What is played, by which networks, against whom, and where the run lies.

        pipeline: sample the next fragments while learning from the last ones (their weights are one update old).
        no_progress_timeout_s: a run that gets no experience for so long ends with the reason.
        hparams: the run's configuration, flat, for TensorBoard.
        """
        for name, value in locals().copy().items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)
        self.multi_agent(
            policies={module_id(learner, network.name, networks) for network in networks},
            policy_mapping_fn=_unused_mapping,
        )
        self.rl_module(rl_module_spec=multi_module_spec(learner, networks, architecture))
        return self


def _unused_mapping(agent_id: Any, episode: Any, **kwargs: Any) -> str:
    """RLlib wants a mapping function; our env runner goes by `networks_of`."""
    raise RuntimeError("MatchEnvRunner maps agents to networks itself")


@dataclass
class Counters:
    """Totals of a run, kept across a resume."""

    env_steps: int = 0
    trained_agent_steps: int = 0
    updates: int = 0
    matches: int = 0
    seconds: float = 0.0
    restarts: int = 0
    failures: int = 0


@dataclass
class IterationStats:
    """What the last iteration did.

    `seconds`: since the end of the iteration before; `wait_seconds` of it, idle until enough experience had arrived.
    `matches` ended, `recorded` of them counted for somebody (not those that ended in a random opening).
    `self_play`: matches of the trainee against itself, and the sum of the first side's scores in them.
    """

    env_steps: int = 0
    rows: int = 0
    matches: int = 0
    match_length: float = 0.0
    recorded: int = 0
    returns: float = 0.0
    wait_seconds: float = 0.0
    learn_seconds: float = 0.0
    seconds: float = 0.0
    staleness: float = 0.0
    self_play: tuple[int, float] = (0, 0.0)


class LeaguePPO(PPO):
    """Trains one learner of a league.

    `league` is the one value that the control plane lives in; `counters`, `stats` and `rng` are the run's totals, the
    last iteration's figures and the source of every random choice made in this process.
    """

    config: LeaguePPOConfig

    @classmethod
    def get_default_config(cls) -> LeaguePPOConfig:
        """For RLlib."""
        return LeaguePPOConfig()

    def setup(self, config: LeaguePPOConfig) -> None:
        """Build the league and RLlib's parts."""
        self.run_dir = Path(config.run_dir)
        self.league: League = config.make_league()
        self.store: Store = config.store
        self.records = Records(self.run_dir)
        self.rng = np.random.default_rng(config.seed)
        self.counters = Counters()
        self.stats = IterationStats()
        self.report: dict[str, float] = {}
        self.anchors: dict[str, dict[str, float]] = {}
        self.notes: list[str] = []
        self.checkpoint: Path | None = None
        self._consecutive_failures = 0
        self._ratings: dict[str, float] = {}
        self._rated = (float("-inf"), 0)
        super().setup(config)
        self._weights_changed()
        self._clock = time.monotonic()

    def _setup_logdir(self) -> None:
        """RLlib's directory is the run's; it would make an empty one in ~/ray_results."""
        self._logdir = self.config.run_dir

    # Events.

    def fire(self, event: str, **kwargs: Any) -> None:
        """Call this event of every callback that has it."""
        listeners = [callback for callback in self.callbacks if hasattr(callback, event)]
        make_callback(event, listeners, kwargs={"algorithm": self, **kwargs})

    # The weights of the learner.

    def weights(self) -> dict[str, np.ndarray]:
        """The learner's weights now, under `network/parameter` (copies)."""
        state = self.learner_group.get_state(components=f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}")
        modules = state[COMPONENT_LEARNER][COMPONENT_RL_MODULE]
        networks = self.config.networks
        return {
            f"{network.name}/{name}": np.array(value)
            for network in networks
            for name, value in modules[module_id(self.config.learner, network.name, networks)].items()
        }

    def encode_learner(self, **facts: Any) -> bytes:
        """The learner as it is now, as a player (see `player.py`); `facts` join its metadata."""
        config = self.config
        facts = {
            "player": config.learner,
            "agent_steps": self.counters.trained_agent_steps,
            "env_steps": self.counters.env_steps,
            "app_version": __version__,
            **facts,
        }
        return encode_player(self.weights(), config.networks, config.agents, config.architecture, facts)

    def publish(self, decision: Freeze) -> Snapshot:
        """Freeze a learner: its weights into the store first, then its name into the league."""
        league = self.league
        earlier = league.view.of(Player.parse(decision.learner).lineage)
        player = Player.parse(decision.learner).snapshot(len(earlier))
        blob = self.encode_learner(player=player.id, parent=earlier[-1].digest if earlier else None)
        steps = self.counters.trained_agent_steps
        return league.add_snapshot(decision.learner, self.store.put(blob), steps, decision.reason)

    def ratings(self) -> dict[str, float]:
        """Elo of all players, fitted anew at most every RATINGS_EVERY_S seconds and after each freeze."""
        now, pool = time.monotonic(), len(self.league.snapshots)
        if now - self._rated[0] > RATINGS_EVERY_S or self._rated[1] != pool:
            self._ratings = self.league.ratings()
            self._rated = (time.monotonic(), pool)
        return self._ratings

    @property
    def fresh_slots(self) -> int:
        """How many different snapshots a request may bring: all slots if the whole pool fits, else half of them.

        The other half then finish the matches that are under way.
        """
        slots = self.config.opponent_slots
        return slots if len(self.league.snapshots) <= slots else max(1, slots // 2)

    def _weights_changed(self) -> None:
        weights = self.weights()
        self._broadcast = ray.put(weights) if self.config.num_env_runners else weights

    # One iteration.

    def training_step(self) -> None:
        """Collect a batch, learn from it."""
        began = time.perf_counter()
        self.stats = IterationStats()
        fragments = self._collect()
        self.stats.wait_seconds = time.perf_counter() - began
        for fragment in fragments:
            self.fire("on_fragment", fragment=fragment)
        if self.config.pipeline:
            self._request_fragments()
        learning = time.perf_counter()
        self._learn(fragments)
        self._weights_changed()
        self.stats.learn_seconds = time.perf_counter() - learning

    def log_result(self, result: dict[str, Any]) -> None:
        """Close the iteration's books; then RLlib calls `on_train_result`."""
        now = time.monotonic()
        self.stats.seconds, self._clock = now - self._clock, now
        self.counters.seconds += self.stats.seconds
        self.report = report(self, result)
        super().log_result(result)

    def share_done(self) -> tuple[float | None, float]:
        """How much of the run is done, by the limit that comes first (None without one), and the seconds it took."""
        stop, counters = self.config.stop, self.counters
        limits = (
            (stop.env_steps, counters.env_steps),
            (stop.minutes, counters.seconds / 60),
            (stop.iterations, self.iteration),
        )
        shares = [reached / limit for limit, reached in limits if limit is not None]
        return (min(1.0, max(shares)) if shares else None), counters.seconds

    def _request_fragments(self) -> None:
        """Give every idle env runner something to do."""
        manager = self.env_runner_group
        idle = [
            index
            for index in manager.healthy_env_runner_ids()
            if not manager._worker_manager._remote_actor_states[index].get_num_in_flight_requests(SAMPLE)
        ]
        if idle:
            manager.foreach_env_runner_async(
                SAMPLE, tag=SAMPLE, kwargs=[{"request": self._request()} for _ in idle], remote_worker_ids=idle
            )

    def _request(self) -> Request:
        request = Request(
            learner=self.config.learner,
            weights=self._broadcast,
            weights_version=self.counters.updates,
            seed=int(self.rng.integers(2**63)),
        )
        self.fire("on_sample_request", request=request)
        if request.assignment is None:
            raise ValueError("no callback filled in request.assignment; add `league` to callbacks")
        return request

    def _collect(self) -> list[Fragment]:
        """Fragments with at least `train_batch_size_per_learner` env steps."""
        fragments: list[Fragment] = []
        deadline = time.monotonic() + self.config.no_progress_timeout_s
        while sum(fragment.env_steps for fragment in fragments) < self.config.train_batch_size_per_learner:
            for answer in self._answers():
                if isinstance(answer, Failure):
                    self._failed(answer)
                else:
                    self._consecutive_failures = 0
                    fragments.append(answer)
                    deadline = time.monotonic() + self.config.no_progress_timeout_s
            if time.monotonic() > deadline:
                group = self.env_runner_group
                raise NoProgress(
                    f"no experience for {self.config.no_progress_timeout_s:.0f} s "
                    f"(runtime.no_progress_timeout_s): {group.num_healthy_remote_env_runners()} of "
                    f"{group.num_remote_env_runners()} env runners are alive; a step of the environment may hang"
                )
        self._count(fragments)
        return fragments

    def _answers(self) -> list[Fragment | Failure]:
        if not self.config.num_env_runners:
            return [self.env_runner_group.local_env_runner.sample(request=self._request())]
        self._request_fragments()
        answers = self.env_runner_group.fetch_ready_async_reqs(tags=SAMPLE, timeout_seconds=1.0)
        if not answers:
            self._recreated(self.restore_env_runners(self.env_runner_group))
        return [answer for _, answer in answers]

    def _failed(self, failure: Failure) -> None:
        self.counters.failures += 1
        self._consecutive_failures += 1
        logger.error("an env runner raised; its matches start anew\n%s", failure.traceback)
        if self._consecutive_failures >= CONSECUTIVE_FAILURES:
            raise NoProgress(
                f"env runners raised {self._consecutive_failures} times in a row; the last time:\n{failure.traceback}"
            )

    def _count(self, fragments: list[Fragment]) -> None:
        stats = self.stats
        stats.env_steps = sum(fragment.env_steps for fragment in fragments)
        stats.rows = sum(fragment.rows for fragment in fragments)
        stats.matches = sum(fragment.matches for fragment in fragments)
        stats.match_length = sum(fragment.match_steps for fragment in fragments) / max(1, stats.matches)
        stats.recorded = sum(fragment.outcomes.matches for fragment in fragments)
        stats.returns = sum(fragment.returns for fragment in fragments)
        own = [fragment.outcomes for fragment in fragments]
        mine = [np.array([o == outcomes.learner for o in outcomes.opponents], np.bool_) for outcomes in own]
        stats.self_play = (
            sum(int((o.wins + o.draws + o.losses)[rows].sum()) for o, rows in zip(own, mine, strict=True)),
            sum(float((o.wins + o.draws / 2)[rows].sum()) for o, rows in zip(own, mine, strict=True)),
        )
        stats.staleness = float(np.mean([self.counters.updates - f.weights_version for f in fragments]))
        self.counters.env_steps += stats.env_steps
        self.counters.trained_agent_steps += stats.rows
        self.counters.matches += stats.matches

    def _learn(self, fragments: list[Fragment]) -> None:
        """One update of each network from its own batch.

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
            columns[Columns.ADVANTAGES] = standardized(columns[Columns.ADVANTAGES])
            id = module_id(config.learner, network.name, config.networks)
            batch = MultiAgentBatch({id: SampleBatch(columns)}, env_steps=self.stats.env_steps)
            results = self.learner_group.update(
                batch=batch,
                timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.counters.env_steps},
                num_epochs=config.num_epochs,
                minibatch_size=config.minibatch_size,
                shuffle_batch_per_epoch=config.shuffle_batch_per_epoch,
            )
            self.metrics.aggregate(results, key=LEARNER_RESULTS)
        self.counters.updates += 1

    # Faults.

    def restore_env_runners(self, env_runner_group: EnvRunnerGroup) -> list[int]:
        """Env runners that are back after a crash. They need no state: the next request brings it all."""
        if not self.config.num_env_runners:
            return []
        restored = env_runner_group.probe_unhealthy_env_runners()
        self.counters.restarts += len(restored)
        return restored

    def _recreated(self, indices: list[int]) -> None:
        if indices:
            self._make_on_env_runners_recreated_callbacks(
                config=self.config, env_runner_group=self.env_runner_group, restored_env_runner_indices=indices
            )

    # What a checkpoint holds besides weights and optimizer.

    def progress_state(self) -> dict[str, Any]:
        """Counters, last evaluation, league and RNG as JSON types."""
        return {
            "iteration": self.iteration,
            "counters": asdict(self.counters),
            "anchors": self.anchors,
            "league": self.league.state_dict(),
            "rng": self.rng.bit_generator.state,
        }

    def load_progress_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `progress_state`."""
        self._iteration = state["iteration"]
        self.counters = Counters(**state["counters"])
        self.anchors = state["anchors"]
        self.league.load_state_dict(state["league"])
        self.rng.bit_generator.state = state["rng"]
        self._weights_changed()


def standardized(advantages: np.ndarray) -> np.ndarray:
    """Advantages with mean 0 and standard deviation 1 over the whole batch, as RLlib's PPO does; float32."""
    return (advantages - advantages.mean()) / max(1e-4, float(advantages.std()))
