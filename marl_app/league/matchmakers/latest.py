"""Self-play: the learner plays itself with its current weights, and the experience of every side trains it.

The oldest rule (Samuel, 1959; Tesauro, 1995) and the baseline that a league has to beat: it is fast, and in games with
cycles it forgets.
"""

from __future__ import annotations

from marl_app.league.matchmakers.matchmaker import Branch, self_play
from marl_app.league.view import LeagueView


class Latest:
    """The learner against itself in all matches."""

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        return self_play(view, learner)
