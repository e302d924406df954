"""What a thinning is: the rule that says which snapshot leaves a pool that is too large."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from marl_app.league.view import LeagueView


@dataclass(frozen=True)
class Drop:
    """A decision: this snapshot (an id) leaves the pool, for this reason.

    `cost`: how much better the best of the old pool does against the new pool's Nash mixture than against the old
    one's, in mean score (the pool's exploitability; NashConv, the sum over both sides, is twice that). None: not known.
    """

    player: str
    reason: str
    cost: float | None = None


class Thinning(Protocol):
    """A rule that picks who leaves."""

    def drop(self, view: LeagueView, protected: Collection[str]) -> Drop:
        """The snapshot to let go, which is none of `protected`; there is at least one other in the pool."""
        ...
