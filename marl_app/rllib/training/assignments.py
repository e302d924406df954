"""Assignments for env runners: whom each plays, close to where weights lie, and dealt ahead of time."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

import numpy as np

from marl_app.league.assignment import Assignment
from marl_app.league.league import League
from marl_app.rllib.sampling.fragments import Fragment
from marl_app.store.reader import Inventory


@dataclass
class Dealt:
    """Sums over `assignments`: seconds that the league took for them, bytes that they are as messages, and how far each
    is from the matchmaker's distribution (total variation distance)."""

    assignments: int = 0
    seconds: float = 0.0
    bytes: int = 0
    distortion: float = 0.0

    def add(self, other: Dealt) -> None:
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))

    def means(self) -> dict[str, float]:
        """Assignments per second of the league's time, bytes of one, and the mean distortion; empty without any."""
        if not self.assignments:
            return {}
        return {
            "assignments_per_s": self.assignments / max(self.seconds, 1e-9),
            "assignment_bytes": self.bytes / self.assignments,
            "distortion": self.distortion / self.assignments,
        }


class Dealing:
    """Deals the assignments of `league`.

    inventory: what the racks' caches hold. tolerance: how far that may be preferred, see `league.placement`.
    ahead: each env runner gets the assignment that was dealt when it was asked the time before, and is told the digests
    of the one that was dealt now.
    """

    def __init__(self, league: League, inventory: Inventory, tolerance: float, ahead: bool) -> None:
        self._league = league
        self._inventory = inventory
        self._tolerance = tolerance
        self._ahead = ahead
        self._racks: Mapping[str, frozenset[str]] = {}
        self._held: dict[int, tuple[str, tuple[str, ...]]] = {}  # by env runner: its rack, and what it holds itself
        self._next: dict[int, Assignment] = {}  # by env runner
        self._dealt = Dealt()

    def heard(self, fragments: Iterable[Fragment]) -> None:
        """Env runners have said where they are, and what they hold; time to hear of the caches, too."""
        for fragment in fragments:
            self._held[fragment.runner] = fragment.rack, fragment.held
        if self._tolerance:
            self._racks = self._inventory()

    def held(self, runner: int) -> frozenset[str]:
        """The digests of what it costs an env runner little to play."""
        rack, own = self._held.get(runner, ("", ()))
        return self._racks.get(rack, frozenset()).union(own)

    def assign(self, learner: str, runner: int, opponent_slots: int, rng: np.random.Generator) -> Assignment:
        """Whom a learner plays next in an env runner."""
        held = self.held(runner) if self._tolerance else frozenset()
        began = time.perf_counter()
        assignment = self._league.assign(learner, opponent_slots, rng, held, self._tolerance)
        self._dealt.add(Dealt(1, time.perf_counter() - began, len(pickle.dumps(assignment)), assignment.distortion))
        return assignment

    def in_turn(self, runner: int, dealt: Assignment) -> tuple[Assignment, tuple[str, ...]]:
        """What the env runner plays now that this was dealt, and the digests of what it will play after that."""
        if not self._ahead:
            return dealt, ()
        before, self._next[runner] = self._next.get(runner), dealt
        if before is None or before.learner != dealt.learner:
            before = dealt
        return before, tuple(dict.fromkeys(one.digest for one in dealt.opponents if one.digest is not None))

    def take(self) -> Dealt:
        """The sums since the last call."""
        taken, self._dealt = self._dealt, Dealt()
        return taken
