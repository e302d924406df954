"""The oldest leaves: the pool is a window that slides over the run, as in Unity ML-Agents (Juliani et al., 2018)."""

from __future__ import annotations

from collections.abc import Collection

from marl_app.league.thinning.thinning import Drop
from marl_app.league.view import LeagueView


class Oldest:
    """The first in, the first out."""

    def drop(self, view: LeagueView, protected: Collection[str]) -> Drop:
        player = next(snapshot.player.id for snapshot in view.snapshots if snapshot.player.id not in protected)
        return Drop(player, "the oldest")
