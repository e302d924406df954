"""The oldest snapshot leaves: the pool is a sliding window, as in Unity ML-Agents (Juliani et al., 2018)."""

from __future__ import annotations

from collections.abc import Collection

from marl_app.league.thinning.thinning import Drop
from marl_app.league.view import LeagueView


class Oldest:
    """First in, first out."""

    def drop(self, view: LeagueView, protected: Collection[str]) -> Drop:
        player = next(snapshot.player.id for snapshot in view.snapshots if snapshot.player.id not in protected)
        return Drop(player, "the oldest")
