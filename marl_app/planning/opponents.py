"""Whom a matchmaker picks from a full pool, by the age of the snapshots.

The pool slides: at every freeze a snapshot enters and the oldest leaves. If a learner gains as much from each
generation to the next, its win rates depend on ages alone, and so does the matchmaker's distribution: it is the same
after every freeze, and asking once is enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_app.league.matchmakers.matchmaker import Matchmaker
from marl_app.league.payoff import Floats, Payoff
from marl_app.league.players import MAIN_AGENT, Learner, Player, Snapshot
from marl_app.league.view import LeagueView, Tally

_GAMES = 1000.0  # per pair, so that no matchmaker takes a pair for unplayed


@dataclass(frozen=True, eq=False)
class Opponents:
    """`share` of the matches is against snapshots, the rest against the trainee itself, which fetches nothing.

    `ages` [pool]: the distribution of those over the snapshots, newest first; it sums to 1.
    """

    share: float
    ages: Floats


def opponents_by_age(matchmaker: Matchmaker, learner: str, pool_snapshots: int, elo_per_generation: float) -> Opponents:
    """What the matchmaker says of a pool whose generations are `elo_per_generation` apart.

    The learner is half a generation ahead of its newest snapshot, as it is on average between two freezes.
    """
    view = ladder(learner, pool_snapshots, elo_per_generation)
    age = {snapshot.player.id: age for age, snapshot in enumerate(reversed(view.snapshots))}
    ages: Floats = np.zeros(pool_snapshots)
    for branch in matchmaker.branches(view, learner):
        for opponent, probability in zip(branch.opponents, branch.probabilities.tolist(), strict=True):
            if opponent in age:
                ages[age[opponent]] += branch.probability * probability
    share = float(ages.sum())
    return Opponents(min(share, 1.0), ages / share if share > 0 else np.full(pool_snapshots, 1 / pool_snapshots))


def ladder(learner: str, pool_snapshots: int, elo_per_generation: float) -> LeagueView:
    """A league of one lineage in which every win rate is Elo's expected score (1978)."""
    main = Learner(learner)
    snapshots = tuple(
        Snapshot(Player(learner, generation), f"{generation:064x}", generation, None, MAIN_AGENT)
        for generation in range(pool_snapshots)
    )
    ratings = elo_per_generation * np.array([*range(pool_snapshots), pool_snapshots - 0.5])
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
