"""Scores of a policy against the fixed opponents of `marl_app/players/anchors.py`."""

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
    """Score in `games` matches against the anchor, each side played equally often, by one policy or one for each side.

    `make_env(num_matches)` makes the environment; it is closed again. In match i side i % sides is the policies', and
    the anchor plays all others. All matches are played together: memory grows with `games`.
    Raises ValueError if the anchor cannot play this environment or `games` is no multiple of the number of sides.
    """
    env = make_env(games)
    try:
        sides = len(env.sides)
        if games < 1 or games % sides:
            raise ValueError(
                f"games={games} must be a multiple of the {sides} sides, so that each is played equally often"
            )
        opponent = make_anchor(env, anchor)
        own = np.arange(games) % sides
        ours = np.arange(sides) == own[:, None]
        seats = np.where(ours, np.arange(sides) % len(policies), len(policies))  # the last is the anchor
        scores = play_matches(env, (*policies, opponent), seats, rng, greedy=greedy)
        score = float(scores[np.arange(games), own].mean(dtype=np.float64))
    finally:
        env.close()
    low, high = wilson(score, games)
    return Score(score, float(low), float(high), games)
