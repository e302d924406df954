"""AlphaStar's league: the opponents of a learner depend on its role.

Vinyals et al. (2019), "Grandmaster level in StarCraft II using multi-agent reinforcement learning", as in the published
pseudocode. With x for a win rate, and M for each main agent in turn, all equally likely:

    main agent        50%  PFSP (squared) over the pool
                      15%  verification: if x < 0.3 against any snapshot of a main exploiter, PFSP (squared) over these;
                           else, if x < 0.7 against any forgotten snapshot of M (one that it beat more often before),
                           PFSP (squared) over these; else the same as the next line
                      35%  the current M, itself included; if x <= 0.3, PFSP (variance) over the snapshots of M
    main exploiter         the current M; if x <= 0.1, PFSP (variance) over the snapshots of M
    league exploiter       PFSP (linear_capped) over the pool

Where we differ: these are exact distributions instead of random choices. Without snapshots of M, its opponent is the
current M; with an empty pool, the opponent is the learner itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from marl_app.league.matchmakers.matchmaker import Branch, branches_by_win_rate, scaled, self_play
from marl_app.league.matchmakers.pfsp import pfsp_weights
from marl_app.league.payoff import Float64s
from marl_app.league.players import LEAGUE_EXPLOITER, MAIN_AGENT, MAIN_EXPLOITER, Snapshot
from marl_app.league.view import LeagueView

# Shares of the matches of a main agent: PFSP over the pool, verification, and current main agents.
PFSP_SHARE, VERIFICATION_SHARE, CURRENT_SHARE = 0.5, 0.15, 0.35
# Thresholds of win rates.
EXPLOITED = 0.3  # below this, the snapshot of an exploiter exploits the learner
FORGOTTEN = 0.7  # below this, the learner no longer beats an old snapshot
TOO_STRONG = {MAIN_AGENT: 0.3, MAIN_EXPLOITER: 0.1}  # by role; up to this, snapshots replace the current main agent


class AlphaStar:
    """AlphaStar's matchmaking by role. `branches` raises ValueError for a role that AlphaStar does not have."""

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        role = view.role(learner)
        if role not in _RULES:
            raise ValueError(f"the role of {learner} is {role!r}: expected one of {', '.join(_RULES)}")
        return _RULES[role](view, learner)


def main_agent(view: LeagueView, learner: str) -> list[Branch]:
    """Return the branches of a main agent: PFSP over the pool, verification, and the current main agents."""
    pool = view.facing(learner)
    # PFSP over the whole pool, the snapshots of exploiters included.
    branches = scaled(_pfsp(pool, view, learner, "pfsp_squared", "squared"), PFSP_SHARE)
    # Verification, and the current main agents: the same share for each main agent.
    exploiters = [snapshot for snapshot in pool if snapshot.role == MAIN_EXPLOITER]
    exploited = _below(exploiters, view, learner, EXPLOITED)
    mains = view.main_agents_facing(learner)
    for main in mains:
        forgotten = _forgotten(_of_lineage(pool, main), view, learner)
        current = _current_or_curriculum(main, view, learner)
        if exploited:
            verification = _pfsp(exploiters, view, learner, "exploiters", "squared")
        elif _below(forgotten, view, learner, FORGOTTEN):
            verification = _pfsp(forgotten, view, learner, "forgotten", "squared")
        else:
            verification = current
        branches += scaled(verification, VERIFICATION_SHARE / len(mains)) + scaled(current, CURRENT_SHARE / len(mains))
    return branches


def main_exploiter(view: LeagueView, learner: str) -> list[Branch]:
    """Return the branches of a main exploiter: the current main agents. Raises ValueError without any."""
    mains = view.main_agents_facing(learner)
    if not mains:
        raise ValueError(
            f"{learner} is a main exploiter, but the league has no main agent: add a learner of role {MAIN_AGENT}"
        )
    return [branch for main in mains for branch in scaled(_current_or_curriculum(main, view, learner), 1 / len(mains))]


def league_exploiter(view: LeagueView, learner: str) -> list[Branch]:
    """Return the branches of a league exploiter: PFSP over the pool, which excludes opponents that it always beats."""
    return _pfsp(view.facing(learner), view, learner, "pfsp_linear_capped", "linear_capped")


_RULES: dict[str, Callable[[LeagueView, str], list[Branch]]] = {
    MAIN_AGENT: main_agent,
    MAIN_EXPLOITER: main_exploiter,
    LEAGUE_EXPLOITER: league_exploiter,
}


def _pfsp(candidates: Sequence[Snapshot], view: LeagueView, learner: str, rule: str, weighting: str) -> list[Branch]:
    """Return the branch of PFSP over `candidates`, named `rule`."""
    return branches_by_win_rate(candidates, view, learner, rule, partial(pfsp_weights, weighting=weighting))


def _current_or_curriculum(main: str, view: LeagueView, learner: str) -> list[Branch]:
    """Return the branch of the current main agent, or of its snapshots as a curriculum while it is too strong."""
    if main == learner:
        return self_play(view, learner)
    win_rates = view.payoff.win_rates(learner, [main])
    snapshots = _of_lineage(view.facing(learner), main)
    if snapshots and win_rates[0] <= TOO_STRONG[view.role(learner)]:
        return _pfsp(snapshots, view, learner, "curriculum", "variance")
    return [Branch("main_agent", 1.0, (main,), win_rates, np.ones(1))]


def _below(candidates: Sequence[Snapshot], view: LeagueView, learner: str, win_rate: float) -> bool:
    """Return whether the learner's win rate against any candidate is below `win_rate`."""
    return bool((view.payoff.win_rates(learner, _ids(candidates)) < win_rate).any())


def _forgotten(line: Sequence[Snapshot], view: LeagueView, learner: str) -> Sequence[Snapshot]:
    """Return the snapshots of one lineage, oldest first, up to the last with a higher win rate than its predecessor.

    Against an opponent that improves, win rates fall from its oldest snapshot to its newest. Where they rise instead,
    the learner has forgotten the older snapshot.
    """
    return line[: kept_by_suffix_rule(view.payoff.win_rates(learner, _ids(line)))]


def kept_by_suffix_rule(win_rates: Float64s) -> int:
    """Return the length of `win_rates` [k], oldest opponent first, without the longest non-increasing suffix.

    The first element of the suffix is kept, because it is higher than its predecessor; 0 if no element increases.
    """
    rises = (np.diff(win_rates) > 0).nonzero()[0]
    # `rises` holds the index before each increase: the element after the last increase is at rises[-1] + 1.
    return int(rises[-1]) + 2 if len(rises) else 0


def _of_lineage(snapshots: Sequence[Snapshot], lineage: str) -> Sequence[Snapshot]:
    """Return the snapshots of one lineage, in the same order."""
    return [snapshot for snapshot in snapshots if snapshot.player.lineage == lineage]


def _ids(snapshots: Sequence[Snapshot]) -> tuple[str, ...]:
    """Return the player ids of the snapshots."""
    return tuple(snapshot.player.id for snapshot in snapshots)
