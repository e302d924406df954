"""Assignments for env runners: the opponents of each request.

Optionally with a preference for resident snapshots, and made one request early, so that env runners prefetch.
"""

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


@dataclass(frozen=True)
class RunnerAssignment:
    """What one request tells an env runner: its opponents now, and the digests that it will probably need next."""

    assignment: Assignment
    prefetch_digests: tuple[str, ...] = ()


@dataclass
class AssignmentTotals:
    """Sums over a number of `assignments`.

    seconds: time of the league. bytes: size as messages. distortion: total variation distance to the matchmaker's
    distribution.
    """

    assignments: int = 0
    seconds: float = 0.0
    bytes: int = 0
    distortion: float = 0.0

    def accumulate(self, other: AssignmentTotals) -> None:
        """Add the sums of the other totals."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))

    def means(self) -> dict[str, float]:
        """Return assignments per second of the league's time, bytes of one, and mean distortion; empty without any."""
        if not self.assignments:
            return {}
        return {
            "assignments_per_s": self.assignments / max(self.seconds, 1e-9),
            "assignment_bytes": self.bytes / self.assignments,
            "distortion": self.distortion / self.assignments,
        }


class Assigner:
    """Makes the assignments of `league` for env runners.

    inventory: what the rack caches hold. tolerance: how far resident snapshots may be preferred (`league.placement`).
    prefetching: an env runner plays the assignment that was made at its previous request, and prefetches the new one.
    """

    def __init__(self, league: League, inventory: Inventory, tolerance: float, prefetching: bool) -> None:
        self._league = league
        self._inventory = inventory
        self._tolerance = tolerance
        self._prefetching = prefetching
        self._rack_digests: Mapping[str, frozenset[str]] = {}
        self._runner_digests: dict[int, tuple[str, tuple[str, ...]]] = {}  # env runner -> its rack, digests in slots
        self._next: dict[int, Assignment] = {}  # env runner -> the assignment that it is prefetching
        self._totals = AssignmentTotals()

    def update_residency(self, fragments: Iterable[Fragment]) -> None:
        """Record which snapshots each env runner holds, and each rack cache where that makes a difference."""
        for fragment in fragments:
            self._runner_digests[fragment.runner] = fragment.rack, fragment.resident_digests
        # Only placement reads what rack caches hold.
        if self._tolerance:
            self._rack_digests = self._inventory()

    def resident(self, runner: int) -> frozenset[str]:
        """Return the digests in an env runner's slots and in its rack's cache: cheap to play."""
        rack, digests = self._runner_digests.get(runner, ("", ()))
        return self._rack_digests.get(rack, frozenset()).union(digests)

    def assign_to_runner(
        self, learner: str, runner: int, opponent_slots: int, rng: np.random.Generator
    ) -> RunnerAssignment:
        """Return what env runner `runner` plays next for a learner, with at most `opponent_slots` snapshots."""
        resident = self.resident(runner) if self._tolerance else frozenset()
        began = time.perf_counter()
        assignment = self._league.assign(learner, opponent_slots, rng, resident, self._tolerance)
        seconds = time.perf_counter() - began
        message_bytes = len(pickle.dumps(assignment))  # what Ray would send; only counted here
        self._totals.accumulate(AssignmentTotals(1, seconds, message_bytes, assignment.distortion))
        if not self._prefetching:
            return RunnerAssignment(assignment)
        # Play the assignment whose snapshots this runner was told to prefetch; a new turn's learner has none yet.
        planned, self._next[runner] = self._next.get(runner), assignment
        if planned is None or planned.learner != learner:
            planned = assignment
        digests = (opponent.digest for opponent in assignment.opponents if opponent.digest is not None)
        return RunnerAssignment(planned, tuple(dict.fromkeys(digests)))

    def pop_totals(self) -> AssignmentTotals:
        """Return the sums since the last call."""
        totals, self._totals = self._totals, AssignmentTotals()
        return totals


def fresh_slots(slots: int, opponents: int) -> int:
    """Return how many new opponents a request may bring: all `slots` of an env runner if the opponents fit, else half.

    Running matches are finished in the other half.
    """
    return slots if opponents <= slots else max(1, slots // 2)
