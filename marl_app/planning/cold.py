"""What the designs of `traffic.py` move before their caches are warm: the bytes of some matches of a few actors.

A pool of n snapshots of S bytes; each of A actors plays M matches, against the trainee itself or, with the matchmaker's
share s, against snapshot i with probability p_i. An actor keeps its last opponent, and caches keep everything.

    a  out of the store: A n S
    b  A L S, with L = M s (1 - sum p^2) + (1 - (1 - s)^M) sum p^2, an actor's opponents that are not its last one again
    c  for each rack the different snapshots among the matches of its k actors: sum (1 - (1 - s p)^(k M)) S; between
       nodes what the actors ask for that do not sit beside the cache, L S each
    d  out of the store as c; between nodes what each node asks for first, if it is not the cache's
"""

from __future__ import annotations

from marl_app.planning.opponents import Opponents
from marl_app.planning.traffic import RACK_CACHE, STORE


def cold_start_bytes(
    design: str, picked: Opponents, snapshot_bytes: float, actors: int, nodes: int, racks: int, matches: int
) -> dict[str, float]:
    """Expected bytes out of the store, and out of the racks' caches to other nodes. Actors are spread evenly."""
    chances = picked.share * picked.ages
    again = float((picked.ages**2).sum())
    loads = matches * picked.share * (1 - again) + (1 - (1 - picked.share) ** matches) * again

    def different(some: float) -> float:
        """Snapshots that so many actors meet together."""
        return float((1 - (1 - chances) ** (some * matches)).sum())

    if design == "a":
        moved = {STORE: float(actors * len(chances)), RACK_CACHE: 0.0}
    elif design == "b":
        moved = {STORE: actors * loads, RACK_CACHE: 0.0}
    else:
        elsewhere = nodes - racks  # nodes without a cache
        each = loads * actors / nodes if design == "c" else different(actors / nodes)
        moved = {STORE: racks * different(actors / racks), RACK_CACHE: elsewhere * each}
    return {link: snapshots * snapshot_bytes for link, snapshots in moved.items()}
