"""The training loop: an RLlib Algorithm that trains the learners of a league.

RLlib keeps what it does well: the learner group, env runner actors and their fault tolerance, callbacks, metrics. Ours
are env runners that step whole batches of matches, the league, and sampling that overlaps with learning. A subclass
adds how a learner is trained on fragments (`ppo/algorithm.py`, `team_q/algorithm.py`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.tune.trainable import Trainable

from marl_app.league.alarms import Reading
from marl_app.league.reset import RESET_PROBABILITY
from marl_app.metrics.records import Records
from marl_app.players.modules.scale import description
from marl_app.rllib.run_spec import RunSpec
from marl_app.rllib.sampling.fragments import Fragment, Weights, by_learner
from marl_app.rllib.training.assignments import Assigner, AssignmentTotals, RunnerAssignment, fresh_slots
from marl_app.rllib.training.cached_standing import CachedStanding
from marl_app.rllib.training.config import MatchConfig
from marl_app.rllib.training.disk_errors import DiskErrors
from marl_app.rllib.training.dispatch import EventDispatcher
from marl_app.rllib.training.env_runner_group import config_by_value
from marl_app.rllib.training.events import CallbackResult, Image, RunReport
from marl_app.rllib.training.learners import Learners
from marl_app.rllib.training.report import iteration_report
from marl_app.rllib.training.requests import make_request
from marl_app.rllib.training.sampler import Sampler
from marl_app.rllib.training.stats import IterationStats, share_done
from marl_app.rllib.training.tunable_algorithm import TunableAlgorithm
from marl_app.rllib.training.turns import Turns
from marl_app.rllib.training.weights import LearnerWeights, Snapshots
from marl_app.runs.state import Counters, LearnerTotals, RunState
from marl_app.store.codec import decode
from marl_app.store.traffic import Traffic

STANDING_MAX_AGE_S = 5.0


class MatchAlgorithm(TunableAlgorithm):
    """Trains the learners of a league in turns.

    spec, store: of the run. league: the control plane, one value in this process. rng: the source of all randomness
    in this process. weights, snapshots: of the learners, and of the pool.
    counters, totals, turns, anchors, exploitability, value_preserving_moves, readings: see `RunState`, which a
    checkpoint keeps.
    stats, report: figures of the last iteration, as sums and under the names of `metrics/names.py`.
    While `mid_iteration` is True counters, league and the learners' weights are of different iterations.
    """

    config: MatchConfig
    learner_group: Learners

    def setup(self, config: MatchConfig) -> None:
        """Build the league and RLlib's parts."""
        # RLlib copies the configuration deeply: env runners are made from `self.config`, not from the argument.
        self.spec: RunSpec = self.config.spec
        settings = self.spec.settings
        self.run_dir, self.store = self.spec.run_dir, self.spec.store
        self.rng = np.random.default_rng(settings.seed)
        self.league = self.spec.make_league()
        self.league.invite(self.spec.guests)
        self.records = Records(self.run_dir)
        # Totals, kept in checkpoints.
        self.counters = Counters()
        self.totals = {learner: LearnerTotals() for learner in self.spec.learner_shares}
        self.turns = Turns(self.spec.learner_shares, settings.league.turn)
        self.anchors: dict[str, dict[str, float]] = {}
        self.exploitability: dict[str, float] = {}
        self.value_preserving_moves: dict[str, float] = {}
        self.readings: list[Reading] = []
        # Figures of the last iteration, and totals since this process started.
        self.stats = IterationStats()
        self.report: dict[str, float] = {}
        self.traffic = Traffic()
        self.assigned = AssignmentTotals()
        self.checkpoint: Path | None = None
        self.mid_iteration = False
        self._learner_restarts = 0  # as noticed so far
        self.standing = CachedStanding(self.league, STANDING_MAX_AGE_S)
        self._caches = self.spec.cache.start(self.store)  # before env runners read; held as long as the run lasts
        with config_by_value():
            super().setup(config)  # builds the env runners, the learner group and the callbacks

        # The parts of the loop, which use the env runners, learners and callbacks that RLlib has just built.
        self.events = EventDispatcher(self.callbacks, {"algorithm": self}, self._accept, self._make_report)
        self.disk_errors = DiskErrors(self.counters, self.events.message)
        runtime = settings.runtime
        self._assigner = Assigner(
            self.league, self.spec.cache.inventory(), settings.league.placement_tolerance, runtime.prefetch
        )
        self._sampler = Sampler(
            self.env_runner_group,
            self.learner_group if runtime.colocated else None,
            partial(make_request, self),
            self._restart_env_runners,
            runtime.no_progress_timeout_s,
            batch_steps=settings.batch_steps,
            fragment_steps=config.get_rollout_fragment_length() * config.num_envs_per_env_runner,
        )
        self.weights = LearnerWeights(self.learner_group, self.spec)
        self.snapshots = Snapshots(self.spec, self.league, self.weights, self.learner_group, self.totals, self.counters)

        # The first weights: from another player if asked, to env runners, and into the store for later resets.
        for learner, trainee in self.totals.items():
            if self.spec.initial_player:
                self.weights.write(learner, decode(self.store.get(self.spec.initial_player))[0])
            self.weights.broadcast(learner)
            if self.league.learners[learner].role in RESET_PROBABILITY:
                trainee.initial = self.snapshots.publish(self.snapshots.encode(learner))
        self._iteration_ended = time.monotonic()
        self.events.fire("on_run_start")
        if runtime.chosen:
            self.events.message(runtime.chosen)
        for network in self.spec.networks:
            if self.spec.architecture.scale_observations and (text := description(network.observation_space)):
                self.events.message(f"observations of {network.name} are scaled {text} (model.scale_observations)")

    # One iteration.

    def training_step(self) -> None:
        """Collect a batch for the learner whose turn it is, and train it. The steps are those of `marl_app.rllib`."""
        # 1. and 2. Request fragments (`training/requests.py`) and wait until env runners have played a batch.
        began = time.perf_counter()
        fragments = self._sampler.collect()
        wait_seconds = time.perf_counter() - began
        # 3. Count the fragments, record their results in the league, and end the turn of the learner if it is over.
        self.mid_iteration = True
        self._record(fragments)
        self.stats.wait_seconds = wait_seconds
        # 4. With runtime.pipeline env runners play the next batch while the learner trains, with the weights of now.
        if self.spec.settings.runtime.pipeline:
            self._sampler.request()
        # 5. Train. A slow env runner may have delivered a fragment of another learner, whose turn is over.
        began = time.perf_counter()
        for learner, learner_fragments in by_learner(fragments).items():
            self.train_learner(learner, learner_fragments)
            self.weights.broadcast(learner, trained=True)  # requests carry the new weights from now on
        self.stats.learn_seconds = time.perf_counter() - began
        if restarted := self.learner_group.restarts - self._learner_restarts:
            self._learner_restarts += restarted
            self.counters.restarts += restarted
            self.events.message(f"{restarted} learner process(es) died, and were restarted from another's state")

    def assign_opponents(self, learner: str, runner: int) -> RunnerAssignment:
        """Return the opponents that the league's matchmaker assigns to a learner in env runner `runner`."""
        slots = fresh_slots(
            self.spec.settings.runtime.opponent_slots, len(self.league.snapshots) + len(self.totals) - 1
        )
        return self._assigner.assign_to_runner(learner, runner, slots, self.rng)

    def _record(self, fragments: list[Fragment]) -> None:
        """Count fragments, record their results in the league, and tell the callbacks."""
        # 1. Sums over the fragments, added to the totals of the run.
        updates = {learner: trainee.updates for learner, trainee in self.totals.items()}
        self.stats = IterationStats.from_fragments(fragments, updates)
        self.stats.assigned = self._assigner.pop_totals()
        self.assigned.accumulate(self.stats.assigned)
        self._assigner.update_residency(fragments)
        self.traffic.accumulate(self.stats.traffic)
        self.counters.env_steps += self.stats.env_steps
        self.counters.trained_agent_steps += self.stats.rows
        self.counters.matches += self.stats.matches
        self.counters.failures += self._sampler.pop_failures()
        # 2. Fragment by fragment: totals of its learner, turns, and the league, which has the results before callbacks
        # see the fragment.
        for fragment in fragments:
            trainee = self.totals[fragment.learner]
            trainee.env_steps += fragment.env_steps
            trainee.agent_steps += fragment.rows
            trainee.reward_moments.merge(fragment.reward_moments)
            self.turns.advance(fragment.learner, fragment.env_steps)
            self.league.record(fragment.outcomes)
            self.events.fire("on_fragment", fragment=fragment)
        self.turns.end_iteration()

    def train_learner(self, learner: str, fragments: list[Fragment]) -> None:
        """Train a learner on its fragments. A subclass is an algorithm by this method.

        It calls `learner_group.train` or `update`, aggregates the results under LEARNER_RESULTS, and adds 1 to
        `counters.updates` and `totals[learner].updates`. The weights are broadcast afterwards.
        """
        raise NotImplementedError

    def exploration(self) -> Weights:
        """Return entries of the weights (`network/name`) that make a learner explore now; saved players keep theirs."""
        return {}

    def metrics_of_iteration(self) -> dict[str, float]:
        """Return metrics that only this algorithm has."""
        return {}

    def log_result(self, result: dict[str, Any]) -> None:
        """End the iteration: RLlib calls this hook after `training_step`, with its own result."""
        self.end_iteration(result)
        Trainable.log_result(self, result)

    def end_iteration(self, result: dict[str, Any]) -> None:
        """Step 6: report the iteration, collect the callbacks' answers, and pass both to `on_report`; then save."""
        now = time.monotonic()
        self.stats.seconds, self._iteration_ended = now - self._iteration_ended, now
        self.counters.seconds += self.stats.seconds
        self.report = iteration_report(self, result) | self.metrics_of_iteration()  # before learners are frozen
        # Counters, league and weights agree from here on: callbacks may save a checkpoint.
        self.mid_iteration = False
        images: dict[str, Image] = {}
        for answer in self.events.results("on_train_result", metrics_logger=self.metrics, result=result):
            self.report |= answer.metrics
            images |= answer.images
        self.events.report(self.report, images, iteration=True)
        self.events.fire("on_iteration_end")
        self.complete(result, self.report, self.run_state())

    # What callbacks answer.

    def _accept(self, result: CallbackResult) -> None:
        """Take over the measurements of a callback."""
        self.counters.failures += result.failures
        self.anchors |= result.anchors
        if result.exploitability is not None:
            self.exploitability = dict(result.exploitability)
        if result.value_preserving_moves is not None:
            self.value_preserving_moves = dict(result.value_preserving_moves)
        if result.reading is not None:
            self.readings = [*self.readings, result.reading][-result.keep_readings :]
        if result.checkpoint is not None:
            self.checkpoint = result.checkpoint

    def _make_report(
        self, metrics: Mapping[str, float], images: Mapping[str, Image], messages: Sequence[str], iteration: bool
    ) -> RunReport:
        share, seconds = self.share_done(), self.counters.seconds
        return RunReport(self.counters.env_steps, metrics, images, messages, iteration, share, seconds)

    def share_done(self) -> float | None:
        """Return the share of the run that is over, by the nearest limit; None without any."""
        return share_done(self.spec.settings.stop, self.counters, self.iteration)

    # Faults.

    def restore_env_runners(self, env_runner_group: EnvRunnerGroup, timeout_s: float = 0.0) -> list[int]:
        """Return the env runners that are back after a crash. They need no state: the next request carries it.

        Unlike in RLlib nothing is waited for before an iteration: an env runner that finds no room while a node is gone
        would cost each iteration two seconds.
        """
        restored = self._sampler.revived(timeout_s)
        self.counters.restarts += len(restored)
        return restored

    def _restart_env_runners(self) -> None:
        """Do in the middle of an iteration what RLlib does before each."""
        restored = self.restore_env_runners(self.env_runner_group, timeout_s=1.0)
        if restored:
            self._make_on_env_runners_recreated_callbacks(
                config=self.config, env_runner_group=self.env_runner_group, restored_env_runner_indices=restored
            )

    # Checkpoints.

    def run_state(self) -> RunState:
        """Return what a checkpoint keeps besides weights and optimizers."""
        return RunState(
            iteration=self.iteration,
            counters=self.counters,
            totals=self.totals,
            turns=self.turns.state(),
            anchors=self.anchors,
            exploitability=self.exploitability,
            readings=self.readings,
            league=self.league.state_dict(),
            rng=self.rng.bit_generator.state,
            value_preserving_moves=self.value_preserving_moves,
        )

    def load_run_state(self, state: RunState) -> None:
        """Continue from this state. Learners missing in it start new; learners missing in this run are ignored."""
        self._iteration = state.iteration
        # In place: the parts of this object share both.
        vars(self.counters).update(vars(state.counters))
        self.totals.update({name: trainee for name, trainee in state.totals.items() if name in self.totals})
        self.turns = Turns.from_state(self.spec.learner_shares, self.spec.settings.league.turn, state.turns)
        self.anchors, self.exploitability = dict(state.anchors), dict(state.exploitability)
        self.value_preserving_moves = dict(state.value_preserving_moves)
        self.readings = list(state.readings)
        self.league.load_state_dict(state.league)
        self.league.invite(self.spec.guests)
        self.rng.bit_generator.state = state.rng
        for learner in self.totals:
            self.weights.broadcast(learner)
