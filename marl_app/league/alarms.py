"""What may be going wrong in a league, told from readings of it over time.

Each alarm is a pure function of readings, oldest first, and of its thresholds; it answers with one sentence, or None.
`Alarms` are several with their thresholds. An alarm is a reason to look, not a verdict.
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
    """A league as a learner saw it at one moment.

    `win_rates` and `games` (effective) are the learner's against each snapshot that it may meet, by id; `rating` is its
    Elo; `effective_pool_size` and `cyclic_share` as in `Standing`; `cyclic_by_chance` is what noise is expected to make
    of the latter. `matches` are all that the learner had played by then. `anchors`: the last evaluation against each,
    with `score`, `low` and `high` (its interval).
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
        """Read it off; `standing` is the league's now. Evaluations without a score (of teams) are left out."""
        pool = [snapshot.player.id for snapshot in league.snapshots]
        met = [snapshot.player.id for snapshot in league.view.facing(learner)]
        _, games = league.payoff.counts(pool)
        return cls(
            league.careers[learner].matches,
            dict(zip(met, league.payoff.win_rates(learner, met).tolist(), strict=True)),
            dict(zip(met, league.payoff.games(learner, met).tolist(), strict=True)),
            standing.ratings[learner],
            standing.effective_pool_size,
            standing.cyclic_share,
            cycles.cyclic_share_by_chance(cycles.log_odds(league.payoff.matrix(pool), games), games),
            {anchor: dict(facts) for anchor, facts in (anchors or {}).items() if "score" in facts},
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
    """The rating rose by `elo_gain` since the first reading, but not the score against who was there then.

    These are the anchors that were evaluated again since, and do not score higher than the interval of the first time;
    without such, the snapshots: their mean has to rise by `score_gain`. Left out are who was beaten in a share of
    `saturated` before, for nobody can improve much there, and anchors that won that often, for they show little.
    """
    if len(readings) < 2:
        return None
    first, last = readings[0], readings[-1]
    known = [
        anchor
        for anchor, facts in first.anchors.items()
        if 1 - saturated < facts["score"] < saturated and last.anchors.get(anchor, facts) != facts
    ]
    # Their scores are those of the learner as it was when the evaluations came in.
    came = next(r for r in readings if all(r.anchors.get(a) == last.anchors[a] for a in known)) if known else last
    rise = came.rating - first.rating
    if rise < elo_gain:
        return None
    if known:
        if any(last.anchors[anchor]["score"] > first.anchors[anchor]["high"] for anchor in known):
            return None
        scores = [
            f"{anchor} is {last.anchors[anchor]['score']:.2f} after {first.anchors[anchor]['score']:.2f}"
            for anchor in known
        ]
        return f"inflation: Elo rose by {rise:.0f}, the score against {', '.join(scores)}"
    common = [p for p, x in first.win_rates.items() if x < saturated and p in last.win_rates and first.games[p] > 0]
    gain = float(np.mean([last.win_rates[p] - first.win_rates[p] for p in common])) if common else score_gain
    if gain >= score_gain:
        return None
    return (
        f"inflation: Elo rose by {rise:.0f}, the score against the {len(common)} snapshots that "
        f"were there before by {gain:+.2f}"
    )


def cycling(readings: Sequence[Reading], rise: float, min_pool: int) -> str | None:
    """The cyclic share of a pool of at least `min_pool` snapshots is higher by `rise` than the lowest reading before.

    It has to be twice what chance makes of a ladder, too: the games of players that are equal go round in circles.
    """
    known = [(r.cyclic_share, r) for r in readings if r.cyclic_share is not None and len(r.games) >= min_pool]
    if len(known) < 2 or known[-1][1] is not readings[-1]:
        return None
    now, best = known[-1][0], min(share for share, _ in known[:-1])
    if now - best < rise or now < 2 * readings[-1].cyclic_by_chance:
        return None
    return f"cycling: {now:.0%} of the pool's payoff goes round in circles, after {best:.0%}"


def stale_pairs(readings: Sequence[Reading], share: float, min_matches: int, min_pool: int) -> str | None:
    """At least a `share` of `min_pool` or more snapshots was not met for `min_matches` of the learner's matches.

    Their win rates are old. A matchmaker may want it so: PFSP does not meet whom it always beats. So those who never
    won, or always, are not counted as stale; nor is anybody where nobody was ever met, as in self-play and in teams.
    """
    last = readings[-1] if readings else None
    before = [r for r in readings[:-1] if last and last.matches - r.matches >= min_matches]
    if last is None or not before:
        return None
    old = before[-1]
    common = [player for player in last.games if player in old.games]
    # Effective games end at a limit, where only the win rate still tells that there was one more: not if it is 0 or 1.
    stale = [
        p
        for p in common
        if (last.games[p], last.win_rates[p]) == (old.games[p], old.win_rates[p]) and 0 < last.win_rates[p] < 1
    ]
    if len(common) < min_pool or not any(last.games.values()) or len(stale) < share * len(common) or not stale:
        return None
    return (
        f"stale pairs: {len(stale)} of {len(common)} snapshots were not met in {last.matches - old.matches:,} matches"
    )


def collapsed_diversity(readings: Sequence[Reading], players: float, min_pool: int) -> str | None:
    """The pool, of at least `min_pool` snapshots, plays like fewer than so many entirely different `players`.

    That is no matter of its size: copies are 1 player, a long ladder 3.2, and a wheel of any size 4.4.
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


class Alarms:
    """Alarms by name, each with its thresholds, as {"forgetting": {"drop": 0.2, "min_games": 200}}.

    Raises ValueError for an alarm that there is not, and for thresholds that are not its own.
    """

    def __init__(self, thresholds: Mapping[str, Mapping[str, float]]) -> None:
        self._alarms: dict[str, Callable[[Sequence[Reading]], str | None]] = {}
        for name, values in thresholds.items():
            if name not in ALARMS:
                raise ValueError(f"there is no alarm {name}: use {', '.join(ALARMS)}")
            try:
                inspect.signature(ALARMS[name]).bind([], **values)
            except TypeError as error:
                raise ValueError(f"{name}: {error}") from error
            self._alarms[name] = functools.partial(ALARMS[name], **values)

    def check(self, readings: Sequence[Reading]) -> dict[str, str | None]:
        """What each of them says."""
        return {name: alarm(readings) for name, alarm in self._alarms.items()}
