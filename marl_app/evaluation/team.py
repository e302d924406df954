"""Measure teams in environments without opponents: by their returns, also with teammates of other teams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from marl_app.envs.batched import BatchedEnv, MakeEnv
from marl_app.evaluation.play import play_agents, play_with_returns
from marl_app.league.payoff import Float64s
from marl_app.players.policy import Follower, Policy

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
    return _team_return(returns)


def teams_of_two(
    env: BatchedEnv, players: Sequence[Policy | Follower], seed: int, *, greedy: bool
) -> Iterator[tuple[int, int, TeamReturn]]:
    """Yield (newcomer, team, result) for all pairs of players: one agent is the newcomer's, the others the team's.

    Each agent in turn is the newcomer's, in B matches of `env`; with itself a player plays all agents. This is the
    cross-play of zero-shot coordination (Hu et al., "Other-Play" for Zero-Shot Coordination, 2020): teams that
    depend on conventions of their own training score lower with others. All pairs use the same random numbers.
    """
    agents = len(env.agents)
    for newcomer in range(len(players)):
        for team in range(len(players)):
            # Index 0 is the team, the last index the newcomer; with itself a player has a single entry.
            pair, returns = [players[team], *([] if newcomer == team else [players[newcomer]])], []
            for agent in range(agents):
                player_of = np.zeros((env.num_matches, agents), np.int64)  # index into `pair`
                player_of[:, agent] = len(pair) - 1
                rng = np.random.default_rng((seed, agent))
                returns.append(play_agents(env, pair, player_of, rng, greedy=greedy).returns.astype(np.float64))
            yield newcomer, team, _team_return(np.concatenate(returns))


def _team_return(returns: Float64s) -> TeamReturn:
    """Return the means of the returns [games, agents]."""
    # [games]: matches are independent, the agents of one match are not, so the interval is over matches.
    per_agent = returns.mean(axis=1)
    half = 1.96 * per_agent.std(ddof=1) / np.sqrt(len(returns))
    mean = float(per_agent.mean())
    return TeamReturn(mean, float(mean - half), float(mean + half), float(returns.sum(axis=1).mean()), len(returns))
