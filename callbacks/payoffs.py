"""Plays snapshots against each other: their payoff then does not depend on the matches of their learners."""

from __future__ import annotations

import functools
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayError

from marl_app.config.errors import first_line
from marl_app.envs.batched import MakeEnv
from marl_app.evaluation.exploitability import ExactGame, exact_game
from marl_app.evaluation.known_plans import KnownPlans
from marl_app.evaluation.play import play_matches
from marl_app.players.agent import Agent, player_from_bytes
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.rllib.training.callback import MatchCallback
from marl_app.rllib.training.events import CallbackResult

Float32s = NDArray[np.float32]
Counts = tuple[float, float, float, float]
"""Wins, draws, losses, and the sum of the scores."""

SHOWN = 5
"""Lineups that a message names."""
MAX_WAITING = 64
"""Lineups in the queue of the process: each holds the weights of its players in memory."""


class Simulator:
    """A process of low priority that plays players against each other.

    `player_classes` are not used: they are imported as they arrive, see `RunSpec`.
    """

    def __init__(self, player_classes: Sequence[type]) -> None:
        os.nice(10)

    def simulate(self, lineup: Sequence[bytes], make_env: MakeEnv, games: int, seed: int, swap: bool) -> Float32s:
        """Return each player's scores in `games` matches with sampled actions: float32 [games, players].

        With `swap` the players take the seats in every order, one order after the other; else in the lineup's order.
        """
        env = make_env(games)
        try:
            players = [player_from_bytes(data, env) for data in lineup]
            # [games, seats]: the player in each seat.
            orders = list(itertools.permutations(range(len(lineup)))) if swap else [tuple(range(len(lineup)))]
            seats = np.array(orders)[np.arange(games) % len(orders)]
            scores = play_matches(env, players, seats, np.random.default_rng(seed), greedy=False)
            # Scores are by seat. The inverse of the permutation is the seat of each player.
            return np.take_along_axis(scores, np.argsort(seats, axis=1), axis=1)
        finally:
            env.close()


def counts_of(scores: Float32s) -> Counts:
    """Return wins, draws, losses and the sum of the scores [games] of one player; NaN: it took no part."""
    scores = scores[~np.isnan(scores)]
    wins, losses = int((scores > 0.5 + 1e-6).sum()), int((scores < 0.5 - 1e-6).sum())
    return wins, len(scores) - wins - losses, losses, float(scores.sum(dtype=np.float64))


class MeasurePayoffs(MatchCallback):
    """Plays `sims_per_entry` matches of a new snapshot against each snapshot of the pool (None: no matches).

    They are played in parallel with training, and are counted when they are done. In games of at most `max_histories`
    histories with an exact payoff, that is counted at once, as the same number of matches. With more than two sides
    the number is per lineup of the pool. It is rounded up until every player sits in every seat equally often.
    """

    def __init__(self, sims_per_entry: int | None, max_histories: int) -> None:
        super().__init__()
        self._games = sims_per_entry
        self._max_histories = max_histories
        self._running: dict[Any, tuple[str, ...]] = {}
        self._exact: Callable[[str, str, bool], float | None] | None = None

    def on_run_start(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> None:
        """See whether the game has an exact answer; otherwise start the process that plays matches."""
        spec = algorithm.spec
        self._seed = spec.settings.seed
        with closing(spec.make_env(1)) as env:
            self._sides, stake = len(env.sides), env.stake
        if self._sides == 1:
            self._games = None
        if self._games is None:
            return
        self._games += -self._games % math.factorial(self._sides)  # rounded up: every order of seats equally often
        agent = algorithm.snapshots.encode(spec.main_learner)
        # Exact plans are not known of agents with a memory, nor scores of games without a stake.
        if stake is not None and not Agent(agent).memory_size:
            game = exact_game(spec.make_env, self._max_histories)
            if game is not None:
                self._exact = functools.partial(
                    _exact_score, game, KnownPlans(game, algorithm.snapshots.load_player), stake
                )
        # Guests may be bots, whose plans are not known: they are measured by matches in exact games, too.
        if self._exact is None or spec.guests:
            self._simulator = ray.remote(num_cpus=0, max_restarts=-1)(Simulator).remote(spec.player_classes)

    def on_train_result(
        self, *, algorithm: MatchAlgorithm, result: dict[str, Any], **kwargs: Any
    ) -> Iterator[CallbackResult]:
        """Measure lineups that are new, and add those that are done to the league's payoff."""
        if self._games is None:
            return
        digests = {snapshot.player.id: snapshot.digest for snapshot in algorithm.league.snapshots}
        # The queue is bounded: what does not fit is started in a later iteration.
        for lineup in self._unmeasured(algorithm):
            if len(self._running) < MAX_WAITING and lineup not in self._running.values():
                self._measure(algorithm, lineup, [digests[player] for player in lineup], self._games)
        if self._running:
            # Without waiting: training goes on while matches are played.
            ready, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
            for reference in ready:
                yield self._finish(algorithm, reference)

    def on_run_end(self, *, algorithm: MatchAlgorithm, **kwargs: Any) -> CallbackResult | None:
        """Say which lineups the run has not measured: in their place the meta-strategy uses matches of training."""
        missing = [] if self._games is None else self._unmeasured(algorithm)
        if not missing:
            return None
        shown = ", ".join(" against ".join(lineup) for lineup in missing[:SHOWN])
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        text = f"payoffs that the run had no time to measure ({len(missing)}): {shown}{more}"
        return CallbackResult(messages=[text])

    def _unmeasured(self, algorithm: MatchAlgorithm) -> Sequence[tuple[str, ...]]:
        """Return the lineups without a measurement, those of the newest snapshot first."""
        league = algorithm.league
        return league.unmeasured_pairs() if self._sides == 2 else league.unmeasured_lineups(self._sides)

    def _measure(self, algorithm: MatchAlgorithm, lineup: tuple[str, ...], digests: Sequence[str], games: int) -> None:
        """Record the exact payoff of a lineup if it is known; otherwise start its matches."""
        swap = algorithm.league.view.sides == (None,)  # without a pool per side every player plays every seat
        # A game with an exact answer has two sides.
        if self._exact is not None and (score := self._exact(digests[0], digests[1], swap)) is not None:
            home, away = lineup
            # A mean score is recorded as wins and losses in this proportion.
            wins = score * games
            algorithm.league.record_measured_pair(home, away, wins, 0.0, games - wins, wins)
            return
        blobs = [algorithm.snapshots.fetch(digest) for digest in digests]
        if None in blobs:
            return  # the lineup stays unmeasured, and is tried again in the next iteration
        reference = self._simulator.simulate.remote(blobs, algorithm.spec.make_env, games, self._seed, swap)
        self._seed += 1
        self._running[reference] = lineup

    def _finish(self, algorithm: MatchAlgorithm, reference: Any) -> CallbackResult:
        lineup = self._running.pop(reference)
        try:
            scores = ray.get(reference)
            if self._sides == 2:
                home, away = lineup
                algorithm.league.record_measured_pair(home, away, *counts_of(scores[:, 0]))
            else:
                # Mean score of each player; matches in which it took no part are NaN.
                means: list[float] = np.asarray(np.nanmean(scores, axis=0, dtype=np.float64)).tolist()
                algorithm.league.record_measured_lineup(lineup, means)
        except RayError as error:
            cause = first_line(getattr(error, "cause", error))
            text = f"measuring {', '.join(lineup)} failed, and is tried again: {cause}"
            return CallbackResult(failures=1, messages=[text])
        return CallbackResult()


def _exact_score(game: ExactGame, known: KnownPlans, stake: float, home: str, away: str, swap: bool) -> float | None:
    """Return the mean score in [0, 1] of snapshot `home` (a digest) against `away`; None if it is not known."""
    plans, other = known.plans_of(home), known.plans_of(away)
    if plans is None or other is None:
        return None
    # A score as `BatchedEnv.scores` defines it: advantage over the range of returns.
    return 0.5 + game.advantage(plans, other, swap=swap) / (2 * stake)
