"""What may be going wrong in a league, told from readings of it over time.

Each alarm is a pure function of readings, oldest first, and of its thresholds; it answers with one sentence, or None.
An alarm is a reason to look, not a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marl_app.league.league import League
from marl_app.league.standing import Standing


@dataclass(frozen=True)
class Reading:
    """A league as a learner saw it at one moment.

    `win_rates` and `games` (effective) are the learner's against each snapshot, by id; `rating` is its Elo;
    `effective_pool_size` as in `Standing`. `matches` are all that the learner had played by then.
    """

    matches: int
    win_rates: Mapping[str, float]
    games: Mapping[str, float]
    rating: float
    effective_pool_size: float | None

    @classmethod
    def of(cls, league: League, learner: str, standing: Standing) -> Reading:
        """Read it off; `standing` is the league's now."""
        pool = [snapshot.player.id for snapshot in league.snapshots]
        return cls(
            league.careers[learner].matches,
            dict(zip(pool, league.payoff.win_rates(learner, pool).tolist(), strict=True)),
            dict(zip(pool, league.payoff.games(learner, pool).tolist(), strict=True)),
            standing.ratings[learner],
            standing.effective_pool_size,
        )


def forgetting(readings: Sequence[Reading], drop: float, min_games: float) -> str | None:
    """Somebody is beaten less than before, by `drop` in win rate; both readings over at least `min_games`."""
    if not readings:
        return None
    now, lost = readings[-1], {}
    for player, win_rate in now.win_rates.items():
        past = [r.win_rates[player] for r in readings[:-1] if r.games.get(player, 0.0) >= min_games]
        if past and now.games[player] >= min_games and max(past) - win_rate >= drop:
            lost[player] = max(past) - win_rate
    if not lost:
        return None
    worst = max(lost, key=lambda player: lost[player])
    now_rate = now.win_rates[worst]
    return (
        f"forgetting: {len(lost)} of {len(now.win_rates)} snapshots are beaten less than before, {worst} in "
        f"{now_rate:.0%} of games after {now_rate + lost[worst]:.0%}"
    )


def inflation(readings: Sequence[Reading], elo_gain: float, score_gain: float, saturated: float = 0.9) -> str | None:
    """The rating rose by `elo_gain` since the first reading, but not the mean score against who was there then.

    That has to rise by `score_gain`. Opponents that were beaten in a share of `saturated` before are left out: against
    them nobody can improve much.
    """
    if len(readings) < 2:
        return None
    first, last = readings[0], readings[-1]
    common = [p for p, x in first.win_rates.items() if x < saturated and p in last.win_rates and first.games[p] > 0]
    if not common or last.rating - first.rating < elo_gain:
        return None
    gain = float(np.mean([last.win_rates[player] - first.win_rates[player] for player in common]))
    if gain >= score_gain:
        return None
    return (
        f"inflation: Elo rose by {last.rating - first.rating:.0f}, the score against the {len(common)} snapshots that "
        f"were there before by {gain:+.2f}"
    )


def stale_pairs(readings: Sequence[Reading], share: float, min_matches: int) -> str | None:
    """At least a `share` of the snapshots was not met for `min_matches` of the learner's matches.

    Their win rates are old. A matchmaker may want it so: PFSP does not meet whom it always beats.
    """
    last = readings[-1] if readings else None
    before = [r for r in readings[:-1] if last and last.matches - r.matches >= min_matches]
    if last is None or not before:
        return None
    old = before[-1]
    common = [player for player in last.games if player in old.games]
    # Effective games end at a limit, where only the win rate still tells that there was one more.
    stale = [p for p in common if (last.games[p], last.win_rates[p]) == (old.games[p], old.win_rates[p])]
    if not common or len(stale) < share * len(common) or not stale:
        return None
    return (
        f"stale pairs: {len(stale)} of {len(common)} snapshots were not met in {last.matches - old.matches:,} matches"
    )


def collapsed_diversity(readings: Sequence[Reading], share: float, min_pool: int) -> str | None:
    """The pool, of at least `min_pool` snapshots, has fewer different players than a `share` of its size."""
    last = readings[-1] if readings else None
    if last is None or last.effective_pool_size is None or len(last.games) < min_pool:
        return None
    if last.effective_pool_size >= share * len(last.games):
        return None
    return (
        f"collapsed diversity: {len(last.games)} snapshots play like {last.effective_pool_size:.1f} different players"
    )
