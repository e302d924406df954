"""Bytes from a start with empty caches: the formulas against drawn matches."""

import numpy as np
import pytest

from marl_app.planning.cold import cold_start_bytes
from marl_app.planning.opponents import Opponents
from marl_app.planning.traffic import RACK_CACHE, STORE

ACTORS, NODES, RACKS, MATCHES = 12, 6, 2, 5  # of the 6 actors of a rack, 2 are on the node of its cache
PICKED = Opponents(0.7, np.array([0.4, 0.3, 0.2, 0.1]))


def played(rng: np.random.Generator) -> list[list[int]]:
    """Return the opponents of each actor in order, without self-play."""
    drawn = rng.choice(4, (ACTORS, MATCHES), p=PICKED.ages)
    against_snapshot = rng.random((ACTORS, MATCHES)) < PICKED.share
    return [row[mask].tolist() for row, mask in zip(drawn, against_snapshot, strict=True)]


def counted(design: str, matches: list[list[int]]) -> tuple[int, int]:
    """Count snapshots out of the store, and from the racks' caches to other nodes."""
    loads = [sum(1 for i, opponent in enumerate(row) if i == 0 or row[i - 1] != opponent) for row in matches]
    if design == "b":
        return sum(loads), 0
    racks = [matches[:6], matches[6:]]
    store = sum(len({opponent for row in rack for opponent in row}) for rack in racks)
    nodes = [rack[start : start + 2] for rack in racks for start in (2, 4)]  # those without the cache
    if design == "c":
        return store, sum(loads) - sum(loads[:2]) - sum(loads[6:8])
    return store, sum(len({opponent for row in node for opponent in row}) for node in nodes)


@pytest.mark.parametrize("design", ["b", "c", "d"])
def test_the_formulas_are_the_mean_over_draws(design: str) -> None:
    rng = np.random.default_rng(0)
    mean = np.mean([counted(design, played(rng)) for _ in range(4000)], axis=0)
    planned = cold_start_bytes(design, PICKED, 10.0, ACTORS, NODES, RACKS, MATCHES)
    # 4,000 draws of counts up to 42 with deviations of about 3: five standard errors are 0.25.
    assert [planned[STORE] / 10, planned[RACK_CACHE] / 10] == pytest.approx(mean.tolist(), abs=0.25)


def test_design_a_moves_the_whole_pool_to_every_actor() -> None:
    assert cold_start_bytes("a", PICKED, 10.0, ACTORS, NODES, RACKS, MATCHES)[STORE] == 12 * 4 * 10
