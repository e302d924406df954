"""A matchmaker: part of the matches against itself, the others against the newest snapshots."""

from __future__ import annotations

from marl_app.league.matchmakers.matchmaker import Branch, branches_over, scaled, self_play, uniform
from marl_app.league.view import LeagueView


class Recent:
    """Self-play with probability `self_play`, else one of the `newest` snapshots, each equally likely."""

    def __init__(self, self_play: float, newest: int) -> None:
        if not 0 <= self_play <= 1 or newest < 1:
            raise ValueError(f"self_play must be in [0, 1] and newest >= 1, not {self_play} and {newest}")
        self.self_play = self_play
        self.newest = newest

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        snapshots = view.facing(learner)[-self.newest :]
        recent = branches_over(snapshots, view, learner, "recent", uniform(snapshots))
        return [*scaled(self_play(view, learner), self.self_play), *scaled(recent, 1 - self.self_play)]
