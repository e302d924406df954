"""Leagues of perfect learners, for symmetric matrix games: each becomes a best response in a single round.

Nothing is learned here. What remains is the question that a league answers, whom to respond to: a pair answers "the
latest", and goes round in circles. The league is the one that trains networks, with its pool, matchmaker, schedule and
meta-strategies; but what a snapshot's digest names is a pure strategy, by its number.

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
from marl_app.league.payoff import Floats


class Draws:
    """The random choices of one trainer, by Python's generator."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def strategy(self, num_strategies: int) -> int:
        """Any strategy."""
        return self._random.randrange(num_strategies)

    def opponents(self, branches: Sequence[Branch], count: int) -> list[str]:
        """Opponents by the matchmaker's probabilities; if these are all equal, nobody is drawn twice."""
        players = [player for branch in branches for player in branch.opponents]
        chances = [chance for branch in branches for chance in (branch.probability * branch.probabilities).tolist()]
        if max(chances) - min(chances) < 1e-9:
            return self._random.sample(players, min(count, len(players)))
        return self._random.choices(players, chances, k=count)


@dataclass
class OracleHistory:
    """What a league's pool was after each round: its strength by meta-strategy, and its different strategies."""

    strength: dict[str, list[float]]
    distinct: list[int] = field(default_factory=list)


def best_response(scores: Floats, weights: NDArray[Any]) -> int:
    """The pure strategy with the highest score against a mixture with these weights [N]; of equal ones the first."""
    return int((scores @ weights).argmax())


def strength(scores: Floats, mixture: NDArray[Any]) -> float:
    """What the best response to a mixture [N] leaves it: 1 - exploitability; 0.5 is the most there is."""
    return 1.0 - float((scores @ mixture).max())


def play_pair(scores: Floats, rounds: int, draws: Draws) -> list[int]:
    """A pair: each round the agent responds to the opponent, then the opponent to the agent. The agent's strategies."""
    _, opponent = draws.strategy(len(scores)), draws.strategy(len(scores))
    agents = []
    for _ in range(rounds):
        agents.append(int(scores[:, opponent].argmax()))
        opponent = int(scores[:, agents[-1]].argmax())
    return agents


def play_league(
    scores: Floats,
    league: League,
    meta_strategies: Mapping[str, MetaStrategy],
    rounds: int,
    opponents: int,
    draws: Draws,
) -> OracleHistory:
    """Each round every learner responds to so many draws of the matchmaker from the pool as the round found it.

    Then everybody meets everybody once, and whom the schedule freezes joins the pool. A round is one agent step.
    """
    size = len(scores)
    now = {learner: draws.strategy(size) for learner in league.learners}
    _meet_and_freeze(scores, league, now, 0)
    history = OracleHistory({name: [] for name in meta_strategies})
    for number in range(1, rounds + 1):
        view = league.view
        known = {snapshot.player.id: int(snapshot.digest) for snapshot in view.snapshots} | now
        for learner in league.learners:
            drawn = draws.opponents(league.matchmaker.branches(view, learner), opponents)
            now[learner] = best_response(scores, np.bincount([known[player] for player in drawn], minlength=size))
        _meet_and_freeze(scores, league, now, number)
        pool = [int(snapshot.digest) for snapshot in league.snapshots]
        history.distinct.append(len(set(pool)))
        for name, meta in meta_strategies.items():
            history.strength[name].append(strength(scores, np.bincount(pool, league.view.mixture(meta), size)))
    return history


def _meet_and_freeze(scores: Floats, league: League, now: Mapping[str, int], steps: int) -> None:
    """Record what the learners' strategies score now, and add to the pool whom the schedule freezes."""
    pool = {snapshot.player.id: int(snapshot.digest) for snapshot in league.snapshots}
    for learner in league.learners:
        league.record(_results(scores, learner, {**pool, **now}))
    for freeze in league.tick(TrainingProgress(agent_steps=steps, iteration=steps)):
        league.add_snapshot(freeze.learner, str(now[freeze.learner]), steps, freeze.reason)


def _results(scores: Floats, learner: str, strategies: Mapping[str, int]) -> Outcomes:
    """One match of a learner against each other player."""
    opponents = tuple(player for player in strategies if player != learner)
    score = scores[strategies[learner], [strategies[player] for player in opponents]]
    wins, draws, losses = ((score == points).astype(np.int64) for points in (1.0, 0.5, 0.0))
    ones = np.ones(len(opponents), np.int64)
    return Outcomes(learner, opponents, ("all",) * len(opponents), 0 * ones, wins, draws, losses, ones, score)
