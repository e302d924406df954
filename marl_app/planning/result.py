"""The result of a plan: everything that follows from a size and a matchmaker, computed once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marl_app.planning.caches import Estimate, MissRates, simulate_caches
from marl_app.planning.closed_form import miss_rate
from marl_app.planning.opponents import Opponents
from marl_app.planning.size import Size
from marl_app.planning.traffic import Design, compute_designs, utilization


@dataclass(frozen=True)
class HitRate:
    """The hit rate of one cache, simulated and by the closed form (None if no formula applies)."""

    cache: str
    simulated: Estimate
    closed_form: float | None


@dataclass(frozen=True)
class PlanResult:
    """A size, its opponents, and what follows from them. `used`: design -> resource -> utilization."""

    size: Size
    opponents: Opponents
    hits: list[HitRate]
    designs: list[Design]
    used: dict[str, dict[str, float]]

    @property
    def self_play(self) -> float:
        """Share of matches in which the trainee plays itself."""
        return 1 - self.opponents.share

    @property
    def wall_clock_s(self) -> float:
        """Wall-clock time of all matches, limited by the actors or by the learner."""
        return max(self.size.played_s, self.size.learned_s(self.self_play))


def plan_league(size: Size, opponents: Opponents, rng: np.random.Generator) -> PlanResult:
    """Compute the plan for a matchmaker that picks `opponents`; a team without opponents (one side) fetches none."""
    if size.sides == 1:
        opponents = Opponents(0.0, opponents.ages)
    # Without requests for snapshots there is nothing to cache.
    misses, hits = _caches(size, opponents, rng) if opponents.share else (None, [])
    ways = compute_designs(size, opponents.share, misses)
    return PlanResult(size, opponents, hits, ways, {d.name: utilization(size, d, 1 - opponents.share) for d in ways})


def _caches(size: Size, opponents: Opponents, rng: np.random.Generator) -> tuple[MissRates, list[HitRate]]:
    """Return the miss rates used in the estimate, and the hit rates to show.

    For a cache of the whole pool the closed form is used: it is exact for every matchmaker, while a simulation of
    minutes sees too few freezes, which happen every few hours.
    """
    # Requests of one rack between two freezes.
    per_rack = size.actors_per_rack * size.requests_per_s(opponents.share) * size.freeze_interval_s
    in_rack, in_node = size.rack_cache_snapshots, size.node_cache_snapshots
    simulated = simulate_caches(opponents.ages, per_rack, size.nodes_per_rack, in_node, in_rack, rng)
    rack = miss_rate(opponents.ages, per_rack, in_rack)
    node = miss_rate(opponents.ages, per_rack / size.nodes_per_rack, in_node)
    # Behind node caches, a rack's cache of the whole pool still fetches each snapshot once; smaller: no formula.
    both = rack if in_rack is None else None
    hits = [
        HitRate("c: rack cache", _hit(simulated.rack), 1 - rack),
        HitRate("d: node cache", _hit(simulated.node), 1 - node),
        HitRate("d: node or rack cache", _hit(simulated.both), None if both is None else 1 - both),
    ]
    misses = MissRates(
        Estimate(rack) if in_rack is None else simulated.rack,
        Estimate(node) if in_node is None else simulated.node,
        simulated.both if both is None else Estimate(both),
    )
    return misses, hits


def _hit(miss: Estimate) -> Estimate:
    return Estimate(1 - miss.value, miss.error)
