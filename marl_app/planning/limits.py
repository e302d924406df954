"""Where each way to move snapshots hits its wall, by simulation: so many actors that they wait.

Racks and nodes grow with the actors, as in `traffic`: what fills up is the store's link. Up to the wall all actors
play; beyond it the link keeps only so many of them busy, however many there are. So the wall is the number of actors
times the share of time in which they play, where that share is well below 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from marl_app.planning.opponents import Opponents
from marl_app.planning.simulation import SimulatedTraffic, simulate_actors
from marl_app.planning.size import Size

OVERLOADED = 0.9  # share of time in play below which a link is clearly the limit
AROUND = (0.5, 1.5)  # times the expected wall: where all actors should play, and where they cannot


@dataclass(frozen=True)
class ActorLimit:
    """A design's wall at a bandwidth of the store: as expected, and what was simulated around it."""

    design: str
    store_gbit_per_s: float
    expected_actors: float
    steps: list[SimulatedTraffic]

    @property
    def actors(self) -> float | None:
        """None if no link was too small for the actors that were simulated."""
        last = self.steps[-1]
        return last.actors * last.playing if last.playing < OVERLOADED else None


def with_actors(size: Size, actors: float) -> Size:
    """The same league with about so many actors, in racks of the same kind."""
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
    """Simulate so many seconds around the expected wall, but never more than `most_actors`."""
    numbers = sorted({min(most_actors, factor * expected_actors) for factor in AROUND})
    steps = [
        simulate_actors(with_actors(size, actors), opponents, design, seconds, rng, tolerance) for actors in numbers
    ]
    return ActorLimit(design, size.store_gbit_per_s, expected_actors, steps)
