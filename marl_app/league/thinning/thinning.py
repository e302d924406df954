"""The protocol of thinnings: rules that pick which snapshot leaves a pool that is too large."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from marl_app.league.view import LeagueView


@dataclass(frozen=True)
class Drop:
    """A decision: this snapshot (an id) leaves the pool, for this reason.

    `cost` is the increase of the exploitability of the pool, in mean score: how much more the best snapshot of the old
    pool scores against the Nash mixture of the new pool than against that of the old pool. (NashConv, the sum over both
    sides, is twice that.) None: not computed.
    """

    player: str
    reason: str
    cost: float | None = None


class Thinning(Protocol):
    """A rule that picks the snapshot to remove."""

    def drop(self, view: LeagueView, protected: Collection[str]) -> Drop:
        """Return the snapshot to remove, which is not in `protected`; the pool has at least one such snapshot."""
        ...
