"""A lower bound of exploitability, estimated from matches of a trained best response (an exploiter).

Exploitability is the gain over an even score of the best possible opponent, averaged over the sides. The gain of any
opponent is a lower bound of it; an opponent trained for the purpose comes near. "Approximate exploitability: learning
a best response" (Timbers et al., 2022) does the same with a search. Exact values exist in small games only
(`exploitability.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from marl_app.envs.batched import MakeEnv
from marl_app.evaluation.anchors import Score
from marl_app.evaluation.play import play_matches
from marl_app.league.payoff import Float64s, wilson
from marl_app.players.policy import Follower, Policy

CONFIDENCE = 0.975  # of each of two intervals, so that both hold together with 95 % (Bonferroni)


class ExploitabilityBound(NamedTuple):
    """A lower bound of exploitability: the estimate, and its lower end with 95 % confidence, in scores above 0.5.

    `low` is clipped at 0, because exploitability is never negative.
    `payoff` and `payoff_low` are the same two numbers in units of the game's payoff; None where a score does not
    determine the payoff.
    """

    estimate: float
    low: float
    payoff: float | None
    payoff_low: float | None


def exploitability_bound(score: Score, stake: float | None) -> ExploitabilityBound:
    """Return the bound that follows from an exploiter's score.

    `stake`: the environment's largest payoff, None if scores are not an affine map of payoffs.
    """
    estimate, low = score.score - 0.5, max(0.0, score.low - 0.5)
    # score = 0.5 + payoff / (2 * stake), so a gain of x in scores is 2 * stake * x in payoff
    if stake is None:
        return ExploitabilityBound(estimate, low, None, None)
    return ExploitabilityBound(estimate, low, 2 * stake * estimate, 2 * stake * low)


def score_exploiters(
    make_env: MakeEnv,
    exploiters: Sequence[Policy],
    targets: Sequence[Policy | Follower],
    probabilities: Float64s,
    games: int,
    batch: int,
    rng: np.random.Generator,
    *,
    greedy: bool,
) -> Score:
    """Return the mean score of the exploiters in at least `games` matches, rounded up to whole batches.

    `exploiters`: one policy for all sides, or one per side; the exploited side alternates from match to match.
    `probabilities`: float64 [targets], or [sides, targets] if they depend on the exploiter's side. For each match one
    target is drawn with them; it plays all other sides and samples its actions.
    `greedy`: whether the exploiters take their likeliest actions. The interval has a confidence of 97.5 %.
    """
    total, played = 0.0, 0
    with closing(make_env(1)) as env:
        sides = len(env.sides)
    batch += -batch % sides  # -x % n is what is missing to the next multiple of n: each side equally often
    with closing(make_env(batch)) as env:
        while played < games:
            exploiter_side = np.arange(batch) % sides
            # [batch] int64: index into `targets` of the opponent of each match
            target = np.empty(batch, np.int64)
            for side, side_probabilities in enumerate(np.broadcast_to(probabilities, (sides, len(targets)))):
                matches = exploiter_side == side
                target[matches] = rng.choice(len(targets), int(matches.sum()), p=side_probabilities)
            # [batch, sides] index into `players`: the exploiters come first, then the targets
            exploited = np.arange(sides) == exploiter_side[:, None]
            seats = np.where(exploited, np.arange(sides) % len(exploiters), len(exploiters) + target[:, None])
            players = (*(_Greedy(policy) if greedy else policy for policy in exploiters), *targets)
            scores = play_matches(env, players, seats, rng, greedy=False)
            own = scores[np.arange(batch), exploiter_side]
            own = own[~np.isnan(own)]  # without matches in which its side took no part
            total += float(own.sum(dtype=np.float64))
            played += len(own)
    low, high = wilson(total / played, played, CONFIDENCE)
    return Score(total / played, float(low), float(high), played)


def steps_to_score(curve: Sequence[tuple[float, float]], level: float) -> float:
    """Return the env steps at which an exploiter's score first reaches a level, linear between two points.

    curve: (env steps, score) in the order of env steps. NaN if no point reaches it.
    """
    before: tuple[float, float] | None = None
    for env_steps, score in curve:
        if score >= level:
            if before is None:
                return env_steps
            return before[0] + (env_steps - before[0]) * (level - before[1]) / (score - before[1])
        before = env_steps, score
    return np.nan


class _Greedy:
    """A wrapper that makes one policy greedy in matches in which the others sample their actions."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.memory_size = policy.memory_size

    def act(self, *seen: Any, greedy: bool, **settings: Any) -> Any:
        return self._policy.act(*seen, greedy=True, **settings)
