"""Plays snapshots against each other, for a payoff that does not depend on what their learners happened to play."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayError

from marl_app.evaluation.exploitability import ExactGame, exact_game
from marl_app.evaluation.play import play_matches
from marl_app.evaluation.sequence_form import Plans
from marl_app.rllib.agent import Agent, player_of
from marl_app.rllib.env_runner import MakeEnv
from marl_app.rllib.events import MatchCallback
from marl_app.rllib.match_algorithm import MatchAlgorithm

Result = tuple[float, float, float, float]
"""Wins, draws and losses, and the sum of the scores."""


class Simulator:
    """A process of low priority that plays two players against each other."""

    def __init__(self) -> None:
        os.nice(10)

    def simulate(self, first: bytes, second: bytes, make_env: MakeEnv, games: int, seed: int, swap: bool) -> Result:
        """The first one's results in `games` matches, half of them on each side if they `swap`, actions sampled."""
        env = make_env(games)
        try:
            players = [player_of(data, env) for data in (first, second)]
            own = np.arange(games) % 2 if swap else np.zeros(games, np.int64)
            seats = np.stack([own, 1 - own], axis=1)
            rng = np.random.default_rng(seed)
            scores = play_matches(env, players, seats, rng, greedy=False)
            return result(scores[np.arange(games), own])
        finally:
            env.close()


def result(scores: NDArray[np.float32]) -> Result:
    """Counts from the scores of matches."""
    wins, losses = int((scores > 0.5 + 1e-6).sum()), int((scores < 0.5 - 1e-6).sum())
    return wins, len(scores) - wins - losses, losses, float(scores.sum(dtype=np.float64))


class MeasurePayoffs(MatchCallback):
    """After a freeze `sims_per_entry` matches of the new snapshot against each of the pool (None: never).

    They are played beside training, and count when they are done. In games of at most `max_histories` histories whose
    payoff is exact, the exact one counts at once, as that many matches. Only for games of two sides.
    """

    def __init__(self, sims_per_entry: int | None, max_histories: int) -> None:
        super().__init__()
        self._games = sims_per_entry and sims_per_entry + sims_per_entry % 2
        self._max_histories = max_histories
        self._running: dict[Any, tuple[str, str]] = {}
        self._plans: dict[str, Plans | None] = {}  # of snapshots, by digest; None: not known
        self._game: ExactGame | None = None

    def on_algorithm_init(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> None:
        """See whether there is an exact answer."""
        self._seed = algorithm.config.seed
        env = algorithm.config.make_env(1)
        sides, self._stake = len(env.sides), env.stake
        env.close()
        if sides != 2:
            self._games = None
        if self._games is None:
            return
        if self._stake is not None and not Agent(algorithm.encode_learner()).memory_size:
            self._game = exact_game(algorithm.config.make_env, self._max_histories)
        if self._game is None or algorithm.config.guests:
            self._simulator = ray.remote(num_cpus=0, max_restarts=-1)(Simulator).remote()

    def on_train_result(self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any) -> None:
        """Measure the pairs that are new, and tell the league of those that are done."""
        if self._games is None:
            return
        digests = {snapshot.player.id: snapshot.digest for snapshot in algorithm.league.snapshots}
        for pair in algorithm.league.unmeasured():
            if pair not in self._running.values():
                self._measure(algorithm, pair, digests)
        if self._running:
            ready, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
            for reference in ready:
                self._finish(algorithm, reference)

    def _measure(self, algorithm: MatchAlgorithm, pair: tuple[str, str], digests: dict[str, str]) -> None:
        plans = [] if self._game is None else [self._plan(algorithm, digests[player]) for player in pair]
        swap = algorithm.league.view.sides == (None,)
        if plans and all(plan is not None for plan in plans):
            mean = 0.5 + self._game.advantage(*plans, swap=swap) / (2 * self._stake)
            wins = mean * self._games
            algorithm.league.measured(*pair, wins, 0.0, self._games - wins, wins)
            return
        blobs = [algorithm.snapshot(digests[player]) for player in pair]
        if None in blobs:
            return  # the league asks again
        reference = self._simulator.simulate.remote(*blobs, algorithm.config.make_env, self._games, self._seed, swap)
        self._seed += 1
        self._running[reference] = pair

    def _plan(self, algorithm: MatchAlgorithm, digest: str) -> Plans | None:
        if digest not in self._plans:
            player = algorithm.player(digest)
            if player is None:
                return None
            behavior = self._game.behavior(player)
            self._plans[digest] = None if behavior is None else self._game.plans(behavior)
        return self._plans[digest]

    def _finish(self, algorithm: MatchAlgorithm, reference: Any) -> None:
        pair = self._running.pop(reference)
        try:
            algorithm.league.measured(*pair, *ray.get(reference))
        except RayError as error:
            algorithm.counters.failures += 1
            text = str(getattr(error, "cause", error)).strip().splitlines()[0]
            algorithm.fire("on_message", text=f"measuring {pair[0]} against {pair[1]} failed (again later): {text}")
