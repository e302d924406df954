"""Small leagues for tests of matchmakers: snapshots, results that are written down, and the resulting probabilities."""

import numpy as np

from marl_app.league.league import League, Outcomes
from marl_app.league.matchmakers.matchmaker import Branch, Matchmaker
from marl_app.league.players import Learner
from marl_app.league.schedule import EverySteps


def league_of(matchmaker: Matchmaker, snapshots: int = 0, *learners: Learner) -> League:
    league = League(learners or [Learner("main")], matchmaker, EverySteps(1))
    for number in range(snapshots):
        freeze(league, [*league.learners][number % len(league.learners)])
    return league


def freeze(league: League, learner: str = "main") -> None:
    league.add_snapshot(learner, f"{len(league.snapshots):064x}", len(league.snapshots), "x")


def outcomes(learner: str, rows: list[tuple[str, str, int, int]]) -> Outcomes:
    """One row per (opponent, rule, wins, losses)."""
    wins, losses = np.array([row[2:] for row in rows], np.int64).reshape(-1, 2).T
    zeros = np.zeros(len(rows), np.int64)
    names = tuple(r[0] for r in rows)
    return Outcomes(learner, names, tuple(r[1] for r in rows), zeros, wins, zeros, losses, zeros, 1.0 * wins)


def probabilities_of(branches: list[Branch]) -> dict[str, float]:
    total: dict[str, float] = {}
    for branch in branches:
        for player, p in zip(branch.opponents, branch.probabilities.tolist(), strict=True):
            total[player] = total.get(player, 0.0) + branch.probability * p
    return total
