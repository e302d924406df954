"""The standing of the league, computed again only when it is old: it takes a fraction of a second."""

from __future__ import annotations

import time

from marl_app.league.league import League
from marl_app.league.players import Snapshot
from marl_app.league.standing import Standing


class CachedStanding:
    """Returns the league's standing; it is computed again after `max_age_s` seconds and after each freeze."""

    def __init__(self, league: League, max_age_s: float) -> None:
        self._league = league
        self._max_age_s = max_age_s
        self._standing = Standing({})
        self._computed = float("-inf")
        self._newest: tuple[Snapshot, ...] = ()

    def __call__(self) -> Standing:
        """Return the standing, at most `max_age_s` old."""
        # A freeze appends to the pool, so it changes the newest snapshot.
        newest = self._league.snapshots[-1:]
        if time.monotonic() - self._computed > self._max_age_s or self._newest != newest:
            self._standing = Standing.from_league(self._league)
            self._computed, self._newest = time.monotonic(), newest
        return self._standing
