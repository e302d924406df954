"""Bytes that the designs of `traffic.py` move in a few matches, from a start with empty caches.

A pool of n snapshots of S bytes; each of A actors plays M matches. A match is against snapshot i with probability
s p_i (s: the matchmaker's share of snapshots), else self-play. An actor keeps its last opponent, and caches keep
everything.

    a  out of the store: A n S
    b  out of the store: A L S, with L = M s (1 - sum p^2) + (1 - (1 - s)^M) sum p^2, the expected number of fetches of
       an actor, which fetches an opponent unless it is the same as its previous one
    c  out of the store: for each rack the distinct snapshots that its k actors play, sum (1 - (1 - s p)^(k M)) S;
       from the caches to other nodes: L S for each actor that is not on the node of the cache
    d  out of the store: as c; from the caches to other nodes: the distinct snapshots of each node without the cache
"""

from __future__ import annotations

from marl_app.planning.opponents import Opponents
from marl_app.planning.traffic import RACK_CACHE, STORE


def cold_start_bytes(
    design: str, picked: Opponents, snapshot_bytes: float, actors: int, nodes: int, racks: int, matches: int
) -> dict[str, float]:
    """Return the expected bytes out of the store, and from racks' caches to other nodes; actors are spread evenly."""
    probabilities = picked.share * picked.ages  # [pool] of a match against each snapshot
    # Probability that two successive opponents are the same snapshot.
    again = float((picked.ages**2).sum())
    loads = matches * picked.share * (1 - again) + (1 - (1 - picked.share) ** matches) * again

    def distinct(some_actors: float) -> float:
        """Return the expected number of distinct snapshots that `some_actors` actors play together."""
        return float((1 - (1 - probabilities) ** (some_actors * matches)).sum())

    if design == "a":
        moved = {STORE: float(actors * len(probabilities)), RACK_CACHE: 0.0}
    elif design == "b":
        moved = {STORE: actors * loads, RACK_CACHE: 0.0}
    else:
        other_nodes = nodes - racks  # each rack's cache is on one of its nodes, which reads it without the network
        per_node = loads * actors / nodes if design == "c" else distinct(actors / nodes)
        moved = {STORE: racks * distinct(actors / racks), RACK_CACHE: other_nodes * per_node}
    return {link: snapshots * snapshot_bytes for link, snapshots in moved.items()}
