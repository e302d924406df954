"""Alarms: symptoms of a league that goes wrong, computed from readings of it over time.

Each alarm is a pure function of readings, oldest first, and of its thresholds; it returns one sentence, or None
without a symptom. `Alarms` holds several of them with their thresholds. An alarm is a reason to look, not a
verdict.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from marl_app.league import cycles
from marl_app.league.league import League
from marl_app.league.standing import Standing


@dataclass(frozen=True)
class Reading:
    """The state of a league at one moment, from the side of one learner.

    `win_rates` and `games` (effective) are the learner's against each snapshot that it may meet, by id; `rating` is its
    Elo; `effective_pool_size` and `cyclic_share` are those of `Standing`; `cyclic_by_chance` is the cyclic share that
    noise alone is expected to produce. `matches` counts all matches of the learner until then. `anchors` holds the last
    evaluation against each anchor: `score`, and `low` and `high` of its interval.
    """

    matches: int
    win_rates: Mapping[str, float]
    games: Mapping[str, float]
    rating: float
    effective_pool_size: float | None
    cyclic_share: float | None = None
    cyclic_by_chance: float = 1.0
    anchors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def from_league(
        cls,
        league: League,
        learner: str,
        standing: Standing,
        anchors: Mapping[str, Mapping[str, float]] | None = None,
    ) -> Reading:
        """Return the current reading; `standing` is the league's. Evaluations without a score are left out."""
        # Cycles are of the whole pool, win rates of the opponents that the learner may meet.
        pool = [snapshot.player.id for snapshot in league.snapshots]
        opponents = [snapshot.player.id for snapshot in league.view.facing(learner)]
        _, games = league.payoff.counts(pool)
        return cls(
            league.careers[learner].matches,
            dict(zip(opponents, league.payoff.win_rates(learner, opponents).tolist(), strict=True)),
            dict(zip(opponents, league.payoff.games(learner, opponents).tolist(), strict=True)),
            standing.ratings[learner],
            standing.effective_pool_size,
            standing.cyclic_share,
            cycles.cyclic_share_by_chance(cycles.log_odds(league.payoff.matrix(pool), games), games),
            {anchor: dict(facts) for anchor, facts in (anchors or {}).items() if "score" in facts},
        )


def forgetting(readings: Sequence[Reading], drop: float, min_games: float) -> str | None:
    """Report snapshots against which the win rate fell by at least `drop`; both readings over at least `min_games`."""
    if not readings:
        return None
    now, lost = readings[-1], {}
    # The best of all earlier win rates counts, so a slow decline adds up.
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
    """Report a rating that rose by `elo_gain` since the first reading without a better score against old opponents.

    Old opponents are the anchors that were evaluated again since: the score did not improve if it is within the
    interval of the first evaluation or below. Without such anchors they are the snapshots of the first reading: the
    score did not improve if the mean win rate rose by less than `score_gain`. Opponents that were beaten in a share of
    `saturated` at first are left out, because little improvement is possible there, and so are anchors that won
    that share, because the score against them shows little.
    """
    if len(readings) < 2:
        return None
    first, last = readings[0], readings[-1]
    # Anchors that can show an improvement, with an evaluation that is newer than that of the first reading.
    anchors = [
        anchor
        for anchor, facts in first.anchors.items()
        if 1 - saturated < facts["score"] < saturated and last.anchors.get(anchor, facts) != facts
    ]
    # The last evaluations are of the learner at the time of the first reading that has them: compare with its Elo then.
    evaluated = last
    if anchors:
        evaluated = next(r for r in readings if all(r.anchors.get(a) == last.anchors[a] for a in anchors))
    rise = evaluated.rating - first.rating
    if rise < elo_gain:
        return None
    if anchors:
        if any(last.anchors[anchor]["score"] > first.anchors[anchor]["high"] for anchor in anchors):
            return None
        scores = [
            f"{anchor} is {last.anchors[anchor]['score']:.2f} after {first.anchors[anchor]['score']:.2f}"
            for anchor in anchors
        ]
        return f"inflation: Elo rose by {rise:.0f}, the score against {', '.join(scores)}"
    common = [p for p, x in first.win_rates.items() if x < saturated and p in last.win_rates and first.games[p] > 0]
    # Without a common opponent nothing can be said: the gain then counts as sufficient.
    gain = float(np.mean([last.win_rates[p] - first.win_rates[p] for p in common])) if common else score_gain
    if gain >= score_gain:
        return None
    return (
        f"inflation: Elo rose by {rise:.0f}, the score against the {len(common)} snapshots that "
        f"were in the pool before by {gain:+.2f}"
    )


def cycling(readings: Sequence[Reading], rise: float, min_pool: int) -> str | None:
    """Report a cyclic share, of at least `min_pool` snapshots, that is higher by `rise` than the lowest before.

    It must also be twice the share that noise produces: results between players of equal strength look cyclic.
    """
    # Only readings with a measure of a pool that is large enough; the last reading must be one of them.
    measured = [(r.cyclic_share, r) for r in readings if r.cyclic_share is not None and len(r.games) >= min_pool]
    if len(measured) < 2 or measured[-1][1] is not readings[-1]:
        return None
    now, lowest = measured[-1][0], min(share for share, _ in measured[:-1])
    if now - lowest < rise or now < 2 * readings[-1].cyclic_by_chance:
        return None
    return f"cycling: {now:.0%} of the pool's payoff is cyclic, after {lowest:.0%}"


def stale_pairs(readings: Sequence[Reading], share: float, min_matches: int, min_pool: int) -> str | None:
    """Report a `share` of the snapshots (at least `min_pool`) that the learner did not meet in `min_matches` matches.

    Their win rates are old. This may be intended: PFSP does not select opponents that are always beaten. So win rates
    of 0 and 1 do not count as stale, and neither does any snapshot if the learner never met any, as in self-play and
    in teams.
    """
    last = readings[-1] if readings else None
    before = [r for r in readings[:-1] if last and last.matches - r.matches >= min_matches]
    if last is None or not before:
        return None
    old = before[-1]  # the newest reading that is at least `min_matches` older
    common = [player for player in last.games if player in old.games]
    # With a decay, effective games converge to a limit. There a further game changes only the win rate, and not even
    # that if it is 0 or 1, so these pairs cannot be judged.
    stale = [
        p
        for p in common
        if (last.games[p], last.win_rates[p]) == (old.games[p], old.win_rates[p]) and 0 < last.win_rates[p] < 1
    ]
    if len(common) < min_pool or not any(last.games.values()) or len(stale) < share * len(common) or not stale:
        return None
    matches = last.matches - old.matches
    return f"stale pairs: {len(stale)} of {len(common)} snapshots were not met in {matches:,} matches"


def collapsed_diversity(readings: Sequence[Reading], players: float, min_pool: int) -> str | None:
    """Report a pool of at least `min_pool` snapshots whose effective size is below `players`.

    The effective size hardly depends on the number of snapshots: it is 1 for copies, 3.2 for a long ladder, in which
    each snapshot beats all older ones, and 4.4 for a wheel of any size, in which each beats the next few.
    """
    last = readings[-1] if readings else None
    if last is None or last.effective_pool_size is None or len(last.games) < min_pool:
        return None
    if last.effective_pool_size >= players:
        return None
    return (
        f"collapsed diversity: {len(last.games)} snapshots play like {last.effective_pool_size:.1f} different players"
    )


ALARMS: Mapping[str, Callable[..., str | None]] = {
    alarm.__name__: alarm for alarm in (forgetting, inflation, cycling, stale_pairs, collapsed_diversity)
}
"""All alarms, by name."""


class Alarms:
    """Several alarms with their thresholds, given by name: {"forgetting": {"drop": 0.2, "min_games": 200}}.

    Raises ValueError for an unknown alarm, and for missing or unknown thresholds.
    """

    def __init__(self, thresholds: Mapping[str, Mapping[str, float]]) -> None:
        self._alarms: dict[str, Callable[[Sequence[Reading]], str | None]] = {}
        for name, values in thresholds.items():
            if name not in ALARMS:
                raise ValueError(f"unknown alarm {name!r}: expected one of {', '.join(ALARMS)}")
            try:
                # Check the names of the thresholds now instead of at the first reading; [] stands for the readings.
                inspect.signature(ALARMS[name]).bind([], **values)
            except TypeError as error:
                raise ValueError(f"{name}: {error}") from error
            self._alarms[name] = functools.partial(ALARMS[name], **values)

    def check(self, readings: Sequence[Reading]) -> dict[str, str | None]:
        """Return the sentence of each alarm by name, None for alarms that have nothing to report."""
        return {name: alarm(readings) for name, alarm in self._alarms.items()}
