"""What a trained best response shows: a lower bound of exploitability, from matches.

Exploitability is what the best of all opponents gains (per side, on average over the sides) over an even score. Any
opponent's gain is a lower bound of it; one that was trained for the purpose comes near. "Approximate best response"
(Timbers et al., 2022) is this with a search; exact values exist in small games only (`exploitability.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from marl_app.envs.batched import MakeEnv
from marl_app.evaluation.anchors import Score
from marl_app.evaluation.play import play_matches
from marl_app.league.payoff import Floats, wilson
from marl_app.players.policy import Follower, Policy

CONFIDENCE = 0.975  # of each of two intervals, so that both hold at once in 95 %


class ExploitabilityBound(NamedTuple):
    """A lower bound of exploitability: the estimate, and its lower end with 95 % confidence, in scores beyond 0.5.

    The lower end is never below 0, as no exploitability is.
    `payoff` and `payoff_low` are the same in the game's own units, None where scores do not say how much is won.
    """

    estimate: float
    low: float
    payoff: float | None
    payoff_low: float | None


def exploitability_bound(score: Score, stake: float | None) -> ExploitabilityBound:
    """The bound that this score shows; `stake` is the environment's."""
    estimate, low = score.score - 0.5, max(0.0, score.low - 0.5)
    if stake is None:
        return ExploitabilityBound(estimate, low, None, None)
    return ExploitabilityBound(estimate, low, 2 * stake * estimate, 2 * stake * low)


def score_exploiters(
    make_env: MakeEnv,
    exploiters: Sequence[Policy],
    targets: Sequence[Policy | Follower],
    probabilities: Floats,
    games: int,
    batch: int,
    rng: np.random.Generator,
    *,
    greedy: bool,
) -> Score:
    """The score of an exploiter, or of one for each side, in `games` matches or the few more that fill the last batch.

    The sides alternate. One of the targets, drawn for each match by `probabilities` [targets], or [sides, targets] for
    exploiters of each side, plays all other sides and samples its actions; `greedy` are the exploiters. The interval
    has a confidence of 97.5 %.
    """
    total, played = 0.0, 0
    with closing(make_env(1)) as env:
        sides = len(env.sides)
    batch += -batch % sides
    with closing(make_env(batch)) as env:
        while played < games:
            own = np.arange(batch) % sides
            drawn = np.empty(batch, np.int64)
            for side, chances in enumerate(np.broadcast_to(probabilities, (sides, len(targets)))):
                drawn[own == side] = rng.choice(len(targets), int((own == side).sum()), p=chances)
            ours = np.arange(sides) == own[:, None]
            seats = np.where(ours, np.arange(sides) % len(exploiters), len(exploiters) + drawn[:, None])
            players = (*(_Greedy(one) if greedy else one for one in exploiters), *targets)
            scores = play_matches(env, players, seats, rng, greedy=False)
            total += float(scores[np.arange(batch), own].sum(dtype=np.float64))
            played += batch
    low, high = wilson(total / played, played, CONFIDENCE)
    return Score(total / played, float(low), float(high), played)


class _Greedy:
    """A policy that takes its likeliest actions while others sample theirs."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.memory_size = policy.memory_size

    def act(self, *seen: Any, greedy: bool, **settings: Any) -> Any:
        return self._policy.act(*seen, greedy=True, **settings)
