"""The plans of snapshots in a game with an exact answer, computed once per snapshot."""

from __future__ import annotations

from collections.abc import Callable, Collection

from marl_app.evaluation.exploitability import ExactGame
from marl_app.evaluation.sequence_form import Plans
from marl_app.players.policy import Follower, Policy


class KnownPlans:
    """Plans by digest. load: digest -> the snapshot as a player, or None if it cannot be fetched now."""

    def __init__(self, game: ExactGame, load: Callable[[str], Policy | Follower | None]) -> None:
        self._game = game
        self._load = load
        self._plans: dict[str, Plans | None] = {}

    def plans_of(self, digest: str) -> Plans | None:
        """Return the plans of a snapshot; None if its action probabilities are unknown (some guests), or not yet."""
        if digest not in self._plans:
            player = self._load(digest)
            if player is None:
                return None  # tried again at the next call
            behavior = self._game.behavior(player)
            self._plans[digest] = None if behavior is None else self._game.plans(behavior)
        return self._plans[digest]

    def keep(self, digests: Collection[str]) -> None:
        """Drop the plans of all other snapshots."""
        self._plans = {digest: plans for digest, plans in self._plans.items() if digest in digests}
