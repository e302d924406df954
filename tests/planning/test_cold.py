"""What designs move from a standing start: the formulas against matches that are drawn."""

import numpy as np
import pytest

from marl_app.planning.cold import cold_start_bytes
from marl_app.planning.opponents import Opponents
from marl_app.planning.traffic import RACK_CACHE, STORE

ACTORS, NODES, RACKS, MATCHES = 12, 6, 2, 5  # of 6 actors a rack 2 sit beside its cache
PICKED = Opponents(0.7, np.array([0.4, 0.3, 0.2, 0.1]))


def played(rng: np.random.Generator) -> list[list[int]]:
    """Opponents of each actor in order, without itself."""
    drawn = rng.choice(4, (ACTORS, MATCHES), p=PICKED.ages)
    met = rng.random((ACTORS, MATCHES)) < PICKED.share
    return [row[there].tolist() for row, there in zip(drawn, met, strict=True)]


def counted(design: str, matches: list[list[int]]) -> tuple[int, int]:
    loads = [sum(1 for i, who in enumerate(row) if i == 0 or row[i - 1] != who) for row in matches]
    if design == "b":
        return sum(loads), 0
    racks = [matches[:6], matches[6:]]
    store = sum(len({who for row in rack for who in row}) for rack in racks)
    nodes = [rack[start : start + 2] for rack in racks for start in (2, 4)]  # those without the cache
    if design == "c":
        return store, sum(loads) - sum(loads[:2]) - sum(loads[6:8])
    return store, sum(len({who for row in node for who in row}) for node in nodes)


@pytest.mark.parametrize("design", ["b", "c", "d"])
def test_the_formulas_are_what_is_drawn_on_average(design: str) -> None:
    rng = np.random.default_rng(0)
    mean = np.mean([counted(design, played(rng)) for _ in range(4000)], axis=0)
    planned = cold_start_bytes(design, PICKED, 10.0, ACTORS, NODES, RACKS, MATCHES)
    # 4,000 draws of counts up to 42 with deviations of about 3: five standard errors are 0.25.
    assert [planned[STORE] / 10, planned[RACK_CACHE] / 10] == pytest.approx(mean.tolist(), abs=0.25)


def test_everything_is_everything() -> None:
    assert cold_start_bytes("a", PICKED, 10.0, ACTORS, NODES, RACKS, MATCHES)[STORE] == 12 * 4 * 10
