"""How good a team is where there is nobody to play against: its returns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marl_app.envs.batched import MakeEnv
from marl_app.evaluation.play import play_with_returns
from marl_app.players.policy import Policy

TEAM = "team"
"""In the place of an anchor."""


class TeamReturn(NamedTuple):
    """Mean undiscounted return per agent of `games` matches, with its 95 % normal interval; and of all agents together.

    Both are in the environment's own units: papers report either.
    """

    agent_return: float
    low: float
    high: float
    team_return: float
    games: int


def evaluate_team(
    make_env: MakeEnv, policy: Policy, games: int, rng: np.random.Generator, *, greedy: bool
) -> TeamReturn:
    """Returns of `policy` in `games` matches in which it plays every side. `make_env(num_matches)` is closed again."""
    env = make_env(games)
    try:
        seats = np.zeros((games, len(env.sides)), np.int64)
        returns = play_with_returns(env, (policy,), seats, rng, greedy=greedy).returns.astype(np.float64)
    finally:
        env.close()
    per_agent = returns.mean(axis=1)
    half = 1.96 * per_agent.std(ddof=1) / np.sqrt(games)
    mean = float(per_agent.mean())
    return TeamReturn(mean, float(mean - half), float(mean + half), float(returns.sum(axis=1).mean()), games)
