"""Leagues of perfect learners, for symmetric matrix games: each learner becomes a best response within one round.

Nothing is learned here, so that only the choice of opponents matters: a pair responds to the latest opponent, and
cycles. The league is the same as in training, with pool, matchmaker, schedule and meta-strategies, but the digest of a
snapshot is the number of a pure strategy.

A game is given by the scores of each pure strategy (row) against each (column): float64 [N, N], 1 for a win, 0.5 for a
draw, 0 for a loss, S + S.T = 1.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marl_app.league.league import League, Outcomes, TrainingProgress
from marl_app.league.matchmakers.matchmaker import Branch
from marl_app.league.meta.meta import MetaStrategy
from marl_app.league.payoff import Float64s


class Draws:
    """The random choices of one experiment, by Python's generator."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def strategy(self, num_strategies: int) -> int:
        """Return a uniformly random strategy."""
        return self._random.randrange(num_strategies)

    def opponents(self, branches: Sequence[Branch], count: int) -> list[str]:
        """Return `count` opponents by the matchmaker's probabilities; without replacement if these are all equal."""
        players = [player for branch in branches for player in branch.opponents]
        probabilities = [p for branch in branches for p in (branch.probability * branch.probabilities).tolist()]
        # The tutorial samples a uniform pool without replacement.
        if max(probabilities) - min(probabilities) < 1e-9:
            return self._random.sample(players, min(count, len(players)))
        return self._random.choices(players, probabilities, k=count)


@dataclass
class OracleHistory:
    """The pool of a league after each round: its strength by meta-strategy, and its number of distinct strategies."""

    strength: dict[str, list[float]]
    distinct: list[int] = field(default_factory=list)


def best_response(scores: Float64s, weights: NDArray[Any]) -> int:
    """Return the pure strategy with the highest score against a mixture with `weights` [N]; the first of equal ones."""
    return int((scores @ weights).argmax())


def strength(scores: Float64s, mixture: NDArray[Any]) -> float:
    """Return the score of a mixture [N] against its best response; at most 0.5, which only an equilibrium reaches."""
    return 1.0 - float((scores @ mixture).max())


def play_pair(scores: Float64s, rounds: int, draws: Draws) -> list[int]:
    """Return the agent's strategies: each round the agent responds to the opponent, then the opponent to the agent."""
    # The agent's first strategy is drawn although nothing depends on it: the draws after it then match the tutorial's.
    _, opponent = draws.strategy(len(scores)), draws.strategy(len(scores))
    agents = []
    for _ in range(rounds):
        agents.append(int(scores[:, opponent].argmax()))
        opponent = int(scores[:, agents[-1]].argmax())
    return agents


def play_league(
    scores: Float64s,
    league: League,
    meta_strategies: Mapping[str, MetaStrategy],
    rounds: int,
    opponents: int,
    draws: Draws,
) -> OracleHistory:
    """Play `rounds` rounds: every learner becomes the best response to `opponents` opponents that its matchmaker draws.

    After each round every player meets every other once, and the schedule freezes learners. A round is one agent step.
    """
    size = len(scores)
    # Each learner begins with a random pure strategy, and is frozen with it.
    current = {learner: draws.strategy(size) for learner in league.learners}
    _meet_and_freeze(scores, league, current, 0)
    history = OracleHistory({name: [] for name in meta_strategies})
    for number in range(1, rounds + 1):
        view = league.view  # of the beginning of the round: learners respond to each other's old strategies
        strategies = {snapshot.player.id: int(snapshot.digest) for snapshot in view.snapshots} | current
        for learner in league.learners:
            drawn = draws.opponents(league.matchmaker.branches(view, learner), opponents)
            current[learner] = best_response(
                scores, np.bincount([strategies[player] for player in drawn], minlength=size)
            )
        _meet_and_freeze(scores, league, current, number)
        # Strategies of the pool, with repetitions; bincount adds up the mixture over equal strategies, [N].
        pool = [int(snapshot.digest) for snapshot in league.snapshots]
        history.distinct.append(len(set(pool)))
        for name, meta in meta_strategies.items():
            history.strength[name].append(strength(scores, np.bincount(pool, league.view.mixture(meta), size)))
    return history


def _meet_and_freeze(scores: Float64s, league: League, current: Mapping[str, int], steps: int) -> None:
    """Record the scores of the learners' current strategies, and freeze the learners that are due."""
    pool = {snapshot.player.id: int(snapshot.digest) for snapshot in league.snapshots}
    for learner in league.learners:
        league.record(_results(scores, learner, {**pool, **current}))
    for freeze in league.tick(TrainingProgress(agent_steps=steps, iteration=steps)):
        league.add_snapshot(freeze.learner, str(current[freeze.learner]), steps, freeze.reason)


def _results(scores: Float64s, learner: str, strategies: Mapping[str, int]) -> Outcomes:
    """Return the results of one match of a learner against each other player."""
    opponents = tuple(player for player in strategies if player != learner)
    # score [opponents] of the learner: 1, 0.5 or 0, each of which becomes a count of wins, draws or losses
    score = scores[strategies[learner], [strategies[player] for player in opponents]]
    wins, draws, losses = ((score == points).astype(np.int64) for points in (1.0, 0.5, 0.0))
    ones = np.ones(len(opponents), np.int64)
    return Outcomes(learner, opponents, ("all",) * len(opponents), 0 * ones, wins, draws, losses, ones, score)
