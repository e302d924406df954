"""A window of recent snapshots, and the learner itself: the ghost trainer of Unity ML-Agents.

Juliani et al. (2018), "Unity: a general platform for intelligent agents": the trainer keeps the newest `window`
snapshots and plays the latest policy with probability `play_against_latest`, else a uniformly random snapshot of the
window. The learner never meets older snapshots, which saves matches and allows forgetting.

Where we differ: the matchmaker does not decide how long an opponent is kept (their `swap_steps`). Every request has a
new assignment, and its shares are exact.
"""

from __future__ import annotations

from marl_app.league.matchmakers.matchmaker import Branch, branches_over, scaled, self_play, uniform
from marl_app.league.view import LeagueView


class Ghost:
    """The learner itself, or one of the newest `window` snapshots of all lineages (rule `window`)."""

    def __init__(self, window: int, play_against_latest: float) -> None:
        if window < 1 or not 0 <= play_against_latest <= 1:
            raise ValueError(
                f"window must be >= 1 and play_against_latest in [0, 1], not {window} and {play_against_latest}"
            )
        self.window = window
        self.play_against_latest = play_against_latest

    def branches(self, view: LeagueView, learner: str) -> list[Branch]:
        # `facing` lists snapshots from the oldest to the newest.
        newest = view.facing(learner)[-self.window :]
        past = branches_over(newest, view, learner, "window", uniform(newest))
        return scaled(self_play(view, learner), self.play_against_latest) + scaled(past, 1 - self.play_against_latest)
