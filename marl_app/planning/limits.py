"""The actor limit of each design, by simulation: the number of actors beyond which they wait for the store's link.

Racks and nodes grow with the actors, as in `traffic`, so the store's link is the bottleneck. Up to the limit all actors
play; beyond it the link keeps only a fixed number of them busy. So the limit is the number of actors times the share of
time in which they play, measured where that share is well below 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from marl_app.planning.opponents import Opponents
from marl_app.planning.simulation import SimulatedTraffic, simulate_actors
from marl_app.planning.size import Size

OVERLOADED = 0.9  # share of time in play below which the link is clearly overloaded
AROUND = (0.5, 1.5)  # factors on the expected limit: all actors should play at the first, and not at the second


@dataclass(frozen=True)
class ActorLimit:
    """A design's actor limit at a bandwidth of the store: as expected, and the simulations around it."""

    design: str
    store_gbit_per_s: float
    expected_actors: float
    steps: list[SimulatedTraffic]

    @property
    def actors(self) -> float | None:
        """The simulated limit; None if the link sufficed for all simulated actors."""
        last = self.steps[-1]
        # Beyond the limit the link keeps a fixed number of actors busy: those that play on average.
        return last.actors * last.playing if last.playing < OVERLOADED else None


def with_actors(size: Size, actors: float) -> Size:
    """Return the same league with about `actors` actors: a whole number of racks of the same kind."""
    racks = max(1, round(actors / size.actors_per_rack))
    return replace(size, racks=racks, nodes=size.nodes_per_rack * racks, actors=round(size.actors_per_rack * racks))


def simulate_limit(
    size: Size,
    opponents: Opponents,
    design: str,
    expected_actors: float,
    most_actors: float,
    seconds: float,
    rng: np.random.Generator,
    tolerance: float = 0.0,
) -> ActorLimit:
    """Simulate `seconds` below and above the expected limit, but never more than `most_actors` actors."""
    numbers = sorted({min(most_actors, factor * expected_actors) for factor in AROUND})
    steps = [
        simulate_actors(with_actors(size, actors), opponents, design, seconds, rng, tolerance) for actors in numbers
    ]
    return ActorLimit(design, size.store_gbit_per_s, expected_actors, steps)
