"""Proximal policy optimization (Schulman et al., 2017), IPPO and MAPPO: each learner trains on its own decisions.

IPPO (de Witt et al., 2020) and MAPPO (Yu et al., 2022) are PPO with other settings: `conf/algorithm`. In this folder:
settings (keys), collector, experience, advantages and sequences (env runner: rows -> columns), learner (loss, steps),
minibatches, data_parallel (what several learners exchange).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.utils.metrics import LEARNER_RESULTS

from marl_app.league.players import MAIN_AGENT
from marl_app.rllib.ppo.collector import RowCollector
from marl_app.rllib.ppo.learner import MinibatchPPOLearner
from marl_app.rllib.ppo.magnet import PLAYER, SNAPSHOT, NetworkMagnet
from marl_app.rllib.run_spec import RunSpec
from marl_app.rllib.sampling.collector import Collector
from marl_app.rllib.sampling.fragments import Fragment
from marl_app.rllib.schedules import value_at
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.config import MatchConfig


class LeaguePPOConfig(MatchConfig, PPOConfig):
    """RLlib's PPOConfig for a run of matches."""

    keys_of_rllib = MatchConfig.keys_of_rllib | {"vf_clip_param": "algorithm.vf_clip_param"}
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
    def batches_by_reference(self) -> bool:
        """True with learner processes: the driver never has the columns."""
        return bool(self.spec.settings.runtime.num_learners)

    @property
    def collector_class(self) -> type[Collector]:
        """Rows with advantages."""
        return RowCollector

    def for_run(self, spec: RunSpec) -> Self:
        """As every algorithm; `vf_clip_param=null`, no clipping, is infinity for RLlib."""
        super().for_run(spec)
        bound = self.settings.vf_clip_param
        self.training(vf_clip_param=float("inf") if bound is None else bound)
        return self

    def get_default_learner_class(self) -> type[MinibatchPPOLearner]:
        """Return the learner class (called by RLlib)."""
        return MinibatchPPOLearner


class LeaguePPO(MatchAlgorithm):
    """Trains the learners of a league by PPO."""

    config: LeaguePPOConfig

    def setup(self, config: LeaguePPOConfig) -> None:
        """As every algorithm, and note which reference each learner has: none yet."""
        self._references: dict[str, tuple[str, int]] = {}
        super().setup(config)

    @classmethod
    def get_default_config(cls) -> LeaguePPOConfig:
        """Return the default configuration (called by RLlib)."""
        return LeaguePPOConfig(cls)

    def train_learner(self, learner: str, fragments: list[Fragment]) -> None:
        """Train the learner's networks; the columns of each fragment go to one of the learner processes."""
        self._renew_reference(learner)

        # Learner processes share the fragments; without them the learner in the driver gets all.
        group = self.learner_group
        shares = shared_out(fragments, group.nodes) if group.nodes else [fragments]
        arguments = [
            {
                "player": learner,
                "batches": [fragment.batches for fragment in share if fragment.batches],
                "minibatch_size": self.spec.settings.minibatch_rows,
            }
            for share in shares
        ]
        # One result per network; none if a learner process died in the update, whose batch is lost then.
        for result in group.train(arguments, self.counters.env_steps):
            self.metrics.aggregate([result], key=LEARNER_RESULTS)
        self.counters.updates += 1
        self.totals[learner].updates += 1

    def _renew_reference(self, learner: str) -> None:
        """Give the learner the reference player of `algorithm.magnet`, if it has another one, or none yet.

        With magnet=snapshot that is its newest snapshot, taken when `magnet_updates` have passed since the last one.
        """
        settings, totals = self.config.settings, self.totals[learner]
        if self.league.learners[learner].role != MAIN_AGENT:
            return  # an exploiter has no reference
        # 1. Which player is the reference?
        if settings.magnet == PLAYER:
            totals.reference = self.spec.reference_player
        elif settings.magnet == SNAPSHOT:
            pool = self.league.view.snapshots_of(learner)
            interval = value_at(settings.magnet_updates, self.counters.env_steps)
            if pool and (not totals.reference or totals.updates - totals.reference_update >= interval):
                totals.reference, totals.reference_update = pool[-1].digest, totals.updates

        # 2. Send its weights to the learners, unless they hold them already.
        held = (totals.reference, self.learner_group.restarts)  # a learner process that was restarted has none
        if not totals.reference or held == self._references.get(learner):
            return
        data = self.snapshots.fetch(totals.reference)
        if data is None:
            return  # the store is unreachable: the old reference stays, and the next update tries again
        self.learner_group.each(_set_reference, ids=self.spec.module_ids(learner), data=data)
        self._references[learner] = held

    def metrics_of_iteration(self) -> dict[str, float]:
        """Return the age of the references of magnet=snapshot, in updates."""
        names = {
            learner: "learner" if learner == self.spec.main_learner else f"learners/{learner}"
            for learner in self.totals
        }
        return {
            f"{names[learner]}/magnet_age": totals.updates - totals.reference_update
            for learner, totals in self.totals.items()
            if self.config.settings.magnet == SNAPSHOT and totals.reference
        }


def _set_reference(learner: MinibatchPPOLearner, *, ids: Mapping[str, str], data: bytes, **kwargs: Any) -> None:
    assert isinstance(learner.magnet, NetworkMagnet)
    learner.magnet.set_player(ids, data, learner._device)


def shared_out(fragments: Sequence[Fragment], nodes: Sequence[str]) -> list[list[Fragment]]:
    """Return the fragments of each learner process, given Ray's node of each: about equal numbers of rows.

    A fragment goes to the process with the fewest rows; among equals, to one on its own node.
    """
    shares: list[list[Fragment]] = [[] for _ in nodes]
    rows = [0] * len(nodes)
    # Greedy scheduling, the largest fragments first: so the small ones level out what is left.
    for fragment in sorted(fragments, key=lambda fragment: -fragment.rows):
        chosen = min(range(len(nodes)), key=lambda index: (rows[index], nodes[index] != fragment.node))
        shares[chosen].append(fragment)
        rows[chosen] += fragment.rows
    return shares
