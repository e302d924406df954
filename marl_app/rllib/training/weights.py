"""The weights of the learners: in RLlib's learner, in requests to env runners, and as snapshots in the store."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE

from marl_app import __version__
from marl_app.league.league import INITIAL, Freeze, League
from marl_app.league.players import Snapshot
from marl_app.moments import Moments
from marl_app.players.agent import player_from_bytes
from marl_app.players.encoding import encode_player
from marl_app.players.policy import Follower, Policy
from marl_app.rllib.run_spec import RunSpec
from marl_app.rllib.training.learners import Learners
from marl_app.rllib.training.match_learner import ResettableLearner
from marl_app.runs.state import Counters, LearnerTotals, needed_digests
from marl_app.store.codec import decode
from marl_app.store.provenance import publish
from marl_app.store.reader import FETCH_ERRORS, DirectReader

LearnerArrays = dict[str, NDArray[Any]]
"""The state of a learner's networks by `network/name`, copies: parameters, and buffers such as running statistics."""


class LearnerWeights:
    """Reads and writes the weights of learners, and broadcasts them to env runners.

    averages: exponential moving averages of the weights, with `league.freeze=average` (Polyak and Juditsky, 1992,
        "Acceleration of stochastic approximation by averaging"); else empty.
    """

    def __init__(self, learner_group: Learners, spec: RunSpec) -> None:
        self._learner_group = learner_group
        self._spec = spec
        self._runtime = spec.settings.runtime
        self._broadcasts: dict[str, Any] = {}
        self._average_rate = spec.settings.league.average_rate if spec.settings.league.freeze == "average" else None
        self.averages: dict[str, LearnerArrays] = {}
        self.parameters = self.broadcast_bytes = 0

    def read(self, learner: str) -> LearnerArrays:
        """Return copies of the state of a learner's networks as it is now."""
        ids = self._spec.module_ids(learner)
        # By component: without optimizers and the networks of other learners.
        components = [f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}/{module_id}" for module_id in ids.values()]
        modules = self._learner_group.get_state(components=components)[COMPONENT_LEARNER][COMPONENT_RL_MODULE]
        return {
            f"{network}/{parameter}": np.array(value)  # a copy: a local learner's array shares its parameter's memory
            for network, module_id in ids.items()
            for parameter, value in modules[module_id].items()
        }

    def to_freeze(self, learner: str) -> LearnerArrays:
        """Return the weights that are evaluated, frozen and saved as a player: the average, or the weights of now."""
        return self.averages[learner] if learner in self.averages else self.read(learner)

    def write(self, learner: str, weights: Mapping[str, NDArray[Any]]) -> None:
        """Give a learner these weights, and begin its average with them. Its optimizer keeps its state."""
        if self._average_rate is not None:
            self.averages[learner] = {name: np.array(value) for name, value in weights.items()}
        ids = self._spec.module_ids(learner)
        modules: dict[str, dict[str, NDArray[Any]]] = {}
        for path, value in weights.items():
            # `network/parameter` -> {module id: {parameter: value}}, RLlib's form.
            network, _, parameter = path.partition("/")
            modules.setdefault(ids[network], {})[parameter] = value
        # RLlib compares sequence numbers only where the state has one: these weights replace the learner's in any case.
        self._learner_group.set_state({COMPONENT_LEARNER: {COMPONENT_RL_MODULE: modules}})

    def broadcast(self, learner: str, *, trained: bool = False) -> None:
        """Make requests carry the learner's current weights. `trained`: they are new, and enter its average.

        Learners that play have them: nothing is read from there but for an average.
        """
        if self._runtime.colocated and self._average_rate is None and self.parameters:
            return
        weights = self.read(learner)
        if self._average_rate is not None:
            average = self.averages.get(learner, weights)
            self.averages[learner] = averaged(average, weights, self._average_rate) if trained else average
        self.parameters = sum(value.size for value in weights.values())
        if self._runtime.colocated:
            return
        self.broadcast_bytes = sum(value.nbytes for value in weights.values())
        # In the object store once for all env runners; the driver's own reads the arrays themselves.
        self._broadcasts[learner] = ray.put(weights) if self._runtime.num_env_runners else weights

    def broadcasted(self, learner: str) -> Any:
        """Return the weights that requests carry: by value, in Ray's object store, or None for learners that play."""
        return self._broadcasts.get(learner)


def averaged(average: LearnerArrays, weights: LearnerArrays, rate: float) -> LearnerArrays:
    """Return average + rate * (weights - average) of floating-point arrays; of others, such as counts, the weights."""
    return {
        name: average[name] + np.float32(rate) * (value - average[name]) if value.dtype.kind == "f" else value
        for name, value in weights.items()
    }


class Snapshots:
    """Freezes learners into the store and the league, resets them, and loads what is in the store."""

    def __init__(
        self,
        spec: RunSpec,
        league: League,
        weights: LearnerWeights,
        learner_group: Learners,
        totals: Mapping[str, LearnerTotals],
        counters: Counters,
    ) -> None:
        self._spec = spec
        self._league = league
        self._weights = weights
        self._learner_group = learner_group
        self.totals = totals
        self.counters = counters
        self._reader = DirectReader(spec.store)

    def encode(self, learner: str, **facts: Any) -> bytes:
        """Return a learner, or its average, as a player (see `players/encoding.py`); `facts` join its metadata."""
        spec = self._spec
        facts = {
            "player": learner,
            "agent_steps": self.totals[learner].agent_steps,
            "env_steps": self.counters.env_steps,
            "app_version": __version__,
            "side": self._league.learners[learner].side,
            **({} if spec.raw_spaces is None else {"raw_spaces": spec.raw_spaces}),
            **facts,
        }
        return encode_player(self._weights.to_freeze(learner), spec.networks, spec.agents, spec.architecture, facts)

    def publish(self, data: bytes) -> str:
        """Put a player into the store, with a note of the run's configuration. Return its digest."""
        return publish(self._spec.store, data, self._spec.hparams)

    def freeze(self, decision: Freeze) -> Snapshot:
        """Freeze a learner: its weights into the store first, then its name into the league."""
        learner = decision.learner
        player = self._league.next_snapshot(learner)
        digest = self.publish(self.encode(learner, player=player.id, parent=self._league.careers[learner].origin))
        return self._league.add_snapshot(learner, digest, self.totals[learner].agent_steps, decision.reason)

    def reset(self, learner: str, to: str) -> str:
        """Start a learner again from the weights of `to`, with a new optimizer. Return what happened, as a message.

        If the store does not have these weights now, the learner goes on as it is.
        """
        # 1. Find the weights: those of the beginning, or of a snapshot.
        digests = {snapshot.player.id: snapshot.digest for snapshot in self._league.snapshots}
        digest = self.totals[learner].initial if to == INITIAL else digests[to]
        data = self.fetch(digest)
        if data is None:
            return f"{learner} goes on as it is: the weights of {to} cannot be had"
        # 2. Replace weights, optimizer state and what was estimated of the policy before.
        self._weights.write(learner, decode(data)[0])
        ids = list(self._spec.module_ids(learner).values())
        self._learner_group.each(_reset_optimizers, module_ids=ids)
        self.totals[learner].reward_moments = Moments()  # they were of the returns of another policy
        if self.totals[learner].reference:  # its newest snapshot would draw it back to where it came from
            self.totals[learner].reference = digest
            self.totals[learner].reference_update = self.totals[learner].updates
        # 3. Its results in the league become those of `to`, and requests carry the new weights.
        self._league.reset(learner, to)
        self._weights.broadcast(learner)
        return f"{learner} starts again from {to}"

    def fetch(self, digest: str) -> bytes | None:
        """Return the bytes of a snapshot; None if they are missing, corrupt or unreachable, as the log says."""
        try:
            return bytes(self._reader.get(digest))
        except FETCH_ERRORS:
            return None

    def load_player(self, digest: str) -> Policy | Follower | None:
        """Return a snapshot as a player that is ready to play; None as `fetch`."""
        data = self.fetch(digest)
        if data is None:
            return None
        with closing(self._spec.make_env(1)) as env:
            return player_from_bytes(data, env)

    @property
    def needed_digests(self) -> set[str]:
        """The snapshots that the run may still read."""
        return needed_digests(self._league.snapshots, self.totals)


def _reset_optimizers(learner: ResettableLearner, *, module_ids: list[str], **kwargs: Any) -> None:
    learner.reset_optimizers(module_ids)
