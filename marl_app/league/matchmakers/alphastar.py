"""AlphaStar's league: whom a learner plays depends on what it is for.

Vinyals et al. (2019), "Grandmaster level in StarCraft II using multi-agent reinforcement learning", as in the published
pseudocode. With x for a win rate, and M for each main agent in turn, all equally likely:

    main agent        50%  PFSP (squared) over the pool
                      15%  verification: snapshots of main exploiters, if x < 0.3 against any: PFSP (squared) over them;
                           else snapshots of M that it beat better once and forgot, if x < 0.7 against any: PFSP
                           (squared) over them; else as the next
                      35%  M as it is now, itself included; if x <= 0.3, PFSP (variance) over the snapshots of M
    main exploiter         M as it is now; if x <= 0.1, PFSP (variance) over the snapshots of M
    league exploiter       PFSP (linear_capped) over the pool

Where we differ: these are exact distributions, not tossed coins. Where there are no snapshots, M is played as it is now
and the pool is the learner itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from marl_app.league.matchmakers.matchmaker import Branch, branches_by_win_rate, scaled, self_play
from marl_app.league.matchmakers.pfsp import pfsp_weights
from marl_app.league.payoff import Floats
from marl_app.league.players import LEAGUE_EXPLOITER, MAIN_AGENT, MAIN_EXPLOITER, Snapshot
from marl_app.league.view import LeagueView

EVERYBODY, VERIFICATION, CURRENT = 0.5, 0.15, 0.35  # what a main agent does with its matches
EXPLOITED = 0.3  # below this an exploiter has found something
FORGOTTEN = 0.7  # below this a former self is no longer beaten
TOO_STRONG = {MAIN_AGENT: 0.3, MAIN_EXPLOITER: 0.1}  # at most this: its snapshots are met in its place


class AlphaStar:
    """The matchmaking of each role; ValueError for a role that AlphaStar does not have."""

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        role = view.role(learner)
        if role not in _RULES:
            raise ValueError(f"the role of {learner} is {role!r}; AlphaStar's roles are {', '.join(_RULES)}")
        return _RULES[role](view, learner)


def main_agent(view: LeagueView, learner: str) -> list[Branch]:
    """Everybody, above all whom it loses to; who has beaten it; and itself."""
    pool = view.facing(learner)
    found = scaled(_pfsp(pool, view, learner, "pfsp_squared", "squared"), EVERYBODY)
    exploiters = [snapshot for snapshot in pool if snapshot.role == MAIN_EXPLOITER]
    exploited = _below(exploiters, view, learner, EXPLOITED)
    mains = view.main_agents_facing(learner)
    for main in mains:
        lost = _forgotten(_of_lineage(pool, main), view, learner)
        now = _as_it_is(main, view, learner)
        if exploited:
            verified = _pfsp(exploiters, view, learner, "exploiters", "squared")
        elif _below(lost, view, learner, FORGOTTEN):
            verified = _pfsp(lost, view, learner, "forgotten", "squared")
        else:
            verified = now
        found += scaled(verified, VERIFICATION / len(mains)) + scaled(now, CURRENT / len(mains))
    return found


def main_exploiter(view: LeagueView, learner: str) -> list[Branch]:
    """The main agents as they are now. ValueError if there are none."""
    mains = view.main_agents_facing(learner)
    if not mains:
        raise ValueError(f"{learner} is a main exploiter, but the league has no main agent")
    return [branch for main in mains for branch in scaled(_as_it_is(main, view, learner), 1 / len(mains))]


def league_exploiter(view: LeagueView, learner: str) -> list[Branch]:
    """Everybody but those it always beats."""
    return _pfsp(view.facing(learner), view, learner, "pfsp_linear_capped", "linear_capped")


_RULES: dict[str, Callable[[LeagueView, str], list[Branch]]] = {
    MAIN_AGENT: main_agent,
    MAIN_EXPLOITER: main_exploiter,
    LEAGUE_EXPLOITER: league_exploiter,
}


def _pfsp(candidates: Sequence[Snapshot], view: LeagueView, learner: str, rule: str, weighting: str) -> list[Branch]:
    return branches_by_win_rate(candidates, view, learner, rule, partial(pfsp_weights, weighting=weighting))


def _as_it_is(main: str, view: LeagueView, learner: str) -> list[Branch]:
    """A main agent now, or snapshots of it as a curriculum while it is too strong."""
    if main == learner:
        return self_play(view, learner)
    win_rates = view.payoff.win_rates(learner, [main])
    snapshots = _of_lineage(view.facing(learner), main)
    if snapshots and win_rates[0] <= TOO_STRONG[view.role(learner)]:
        return _pfsp(snapshots, view, learner, "curriculum", "variance")
    return [Branch("main_agent", 1.0, (main,), win_rates, np.ones(1))]


def _below(candidates: Sequence[Snapshot], view: LeagueView, learner: str, win_rate: float) -> bool:
    """Whether the learner's win rate against any of these is lower than this."""
    return bool((view.payoff.win_rates(learner, _ids(candidates)) < win_rate).any())


def _forgotten(line: Sequence[Snapshot], view: LeagueView, learner: str) -> Sequence[Snapshot]:
    """The snapshots of one lineage, oldest first, up to the last that is easier than the one before it.

    Against an opponent that grows, win rates fall from its oldest snapshot to its newest. Where they rise instead, the
    older snapshot was forgotten.
    """
    return line[: kept_by_suffix_rule(view.payoff.win_rates(learner, _ids(line)))]


def kept_by_suffix_rule(win_rates: Floats) -> int:
    """How many of `win_rates` [k], oldest opponent first, remain without their longest non-increasing suffix.

    Its first one stays, since it is higher than the one before; 0 if all of them never increase.
    """
    rises = (np.diff(win_rates) > 0).nonzero()[0]
    return int(rises[-1]) + 2 if len(rises) else 0


def _of_lineage(snapshots: Sequence[Snapshot], lineage: str) -> Sequence[Snapshot]:
    """Return the snapshots of one lineage, in the same order."""
    return [snapshot for snapshot in snapshots if snapshot.player.lineage == lineage]


def _ids(snapshots: Sequence[Snapshot]) -> tuple[str, ...]:
    return tuple(snapshot.player.id for snapshot in snapshots)
