"""Measure a team in environments without opponents: by its returns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from marl_app.envs.batched import MakeEnv
from marl_app.evaluation.play import play_with_returns
from marl_app.players.policy import Policy

TEAM = "team"
"""Stands in metric keys where the name of an anchor stands otherwise."""


class TeamReturn(NamedTuple):
    """Mean undiscounted return of `games` matches, in the environment's units.

    agent_return: per agent; low, high: the ends of its 95 % normal interval. team_return: summed over the agents.
    Papers report either.
    """

    agent_return: float
    low: float
    high: float
    team_return: float
    games: int


def evaluate_team(
    make_env: MakeEnv, policy: Policy, games: int, rng: np.random.Generator, *, greedy: bool
) -> TeamReturn:
    """Return the mean returns of `policy` in `games` matches in which it plays all sides.

    `make_env(num_matches)` makes the environment, which is closed in the end.
    """
    env = make_env(games)
    try:
        seats = np.zeros((games, len(env.sides)), np.int64)  # player 0, the only one, on every side
        returns = play_with_returns(env, (policy,), seats, rng, greedy=greedy).returns.astype(np.float64)
    finally:
        env.close()
    # [games]: matches are independent, the agents of one match are not, so the interval is over matches.
    per_agent = returns.mean(axis=1)
    half = 1.96 * per_agent.std(ddof=1) / np.sqrt(games)
    mean = float(per_agent.mean())
    return TeamReturn(mean, float(mean - half), float(mean + half), float(returns.sum(axis=1).mean()), games)
