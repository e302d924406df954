"""Score a policy against the fixed opponents of `marl_app/players/anchors.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from marl_app.envs.batched import MakeEnv
from marl_app.evaluation.play import play_matches
from marl_app.league.payoff import wilson
from marl_app.players.anchors import make_anchor
from marl_app.players.policy import Policy


class Score(NamedTuple):
    """Mean score in [0, 1] of `games` matches (see `envs.batched`), with its 95 % Wilson interval."""

    score: float
    low: float
    high: float
    games: int


def evaluate_anchor(
    make_env: MakeEnv,
    policies: Sequence[Policy],
    anchor: str,
    games: int,
    rng: np.random.Generator,
    *,
    greedy: bool,
) -> Score:
    """Return the mean score of the policies in `games` matches against the anchor.

    `policies`: one policy for all sides, or one per side. Each side is played equally often: in match i the policies
    play side i % sides and the anchor all others.
    `make_env(num_matches)` makes the environment, which is closed in the end. All matches are played in parallel, so
    memory grows with `games`.
    Raises ValueError if the anchor cannot play this environment or `games` is not a multiple of the number of sides.
    """
    env = make_env(games)
    try:
        sides = len(env.sides)
        if games < 1 or games % sides:
            raise ValueError(
                f"games={games} must be a multiple of the {sides} sides, so that each side is played equally often"
            )
        opponent = make_anchor(env, anchor)
        evaluated_side = np.arange(games) % sides
        # [games, sides] bool: True where a policy under evaluation plays
        evaluated = np.arange(sides) == evaluated_side[:, None]
        # [games, sides] index into (*policies, opponent); the modulo maps every side to a single policy
        seats = np.where(evaluated, np.arange(sides) % len(policies), len(policies))
        scores = play_matches(env, (*policies, opponent), seats, rng, greedy=greedy)
        own = scores[np.arange(games), evaluated_side]
        own = own[~np.isnan(own)]  # without matches in which its side took no part
        score, games = float(own.mean(dtype=np.float64)), len(own)
    finally:
        env.close()
    low, high = wilson(score, games)
    return Score(score, float(low), float(high), games)
