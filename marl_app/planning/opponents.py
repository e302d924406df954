"""The matchmaker's distribution over a full pool, by the age of the snapshots.

The pool is a sliding window: at every freeze a snapshot enters and the oldest leaves. If a learner gains the same Elo
from each generation to the next, its win rates depend only on ages, and so does the matchmaker's distribution. This
distribution is the same after every freeze, so it is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_app.league.matchmakers.matchmaker import Matchmaker
from marl_app.league.payoff import Float64s, Payoff
from marl_app.league.players import MAIN_AGENT, Learner, Player, Snapshot
from marl_app.league.view import LeagueView, Tally

_GAMES = 1000.0  # per pair: enough that no matchmaker treats a pair as unplayed


@dataclass(frozen=True, eq=False)
class Opponents:
    """A matchmaker's opponents: a `share` of the matches is against snapshots, the rest is self-play without fetches.

    `ages` [pool]: distribution of the former over the snapshots, newest first; it sums to 1.
    """

    share: float
    ages: Float64s


def opponents_by_age(matchmaker: Matchmaker, learner: str, pool_snapshots: int, elo_per_generation: float) -> Opponents:
    """Return the matchmaker's opponents in a pool whose generations are `elo_per_generation` apart.

    The learner is half a generation ahead of its newest snapshot, as it is on average between two freezes.
    """
    view = ladder(learner, pool_snapshots, elo_per_generation)
    age = {snapshot.player.id: age for age, snapshot in enumerate(reversed(view.snapshots))}
    ages: Float64s = np.zeros(pool_snapshots)
    for branch in matchmaker.branches(view, learner):
        for opponent, probability in zip(branch.opponents, branch.probabilities.tolist(), strict=True):
            # All other opponents are learners: self-play.
            if opponent in age:
                ages[age[opponent]] += branch.probability * probability
    # `ages` still sums to the probability of playing a snapshot, which rounding may push above 1.
    share = float(ages.sum())
    return Opponents(min(share, 1.0), ages / share if share > 0 else np.full(pool_snapshots, 1 / pool_snapshots))


def ladder(learner: str, pool_snapshots: int, elo_per_generation: float) -> LeagueView:
    """Return a league of one lineage in which every win rate is Elo's expected score (1978)."""
    main = Learner(learner)
    snapshots = tuple(
        Snapshot(Player(learner, generation), f"{generation:064x}", generation, None, MAIN_AGENT)
        for generation in range(pool_snapshots)
    )
    ratings = elo_per_generation * np.array([*range(pool_snapshots), pool_snapshots - 0.5])
    # [pool + 1, pool + 1] wins of row over column; clipped because 10 ** x overflows for large differences
    wins = _GAMES / (1 + 10 ** np.clip((ratings[None, :] - ratings[:, None]) / 400, -300, 300))
    np.fill_diagonal(wins, 0.0)
    payoff = Payoff()
    payoff.load_state_dict(
        {
            "players": [*(snapshot.player.id for snapshot in snapshots), main.player.id],
            "wins": wins,
            "draws": np.zeros_like(wins),
            "excess": np.zeros_like(wins),
        }
    )
    return LeagueView((main,), snapshots, payoff, {main.player.id: Tally()})
