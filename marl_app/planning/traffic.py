"""Four designs that move snapshots to actors: the bytes of each over every link, and how many actors each can serve.

Path of the bytes: the store sends to the uplinks of the racks; a rack's cache, in designs that have one, is behind its
uplink and sends to the nodes. The trainee's weights take the same path: the learner puts each version into the store.

Scaling to more actors adds racks of the same kind and keeps the update interval (so the batch grows). So the load of
the store and of the learner grows in proportion to the actors, while a rack or node either suffices for any number of
actors or is too small for a single rack. All rates assume actors that play at full speed; in reality an overloaded
learner or link slows down the actors, and all rates with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from marl_app.planning.caches import Estimate, MissRates
from marl_app.planning.size import Size, bytes_per_s

STORE, UPLINK, RACK_CACHE, NODE = "store", "rack uplink", "rack cache", "node link"
MEMORY, LEARNER = "node memory", "learner"
LINKS = (STORE, UPLINK, RACK_CACHE, NODE)
SHARED = (STORE, LEARNER)  # shared by all actors: their utilization grows with the number of actors
# Each design extends the one before; the sentences are used in tables and pictures.
DESIGNS = {
    "a": "every actor holds the pool",
    "b": "one opponent at a time, no caches",
    "c": "a cache per rack",
    "d": "and one per node, in shared memory",
}


@dataclass(frozen=True)
class Design:
    """The load of one design at the number of actors of its size.

    snapshots, weights: steady-state bytes/s by link, for opponents and for the trainee; in total for the store, per
    rack or node for the other links. first_fill_bytes: sent once by the store, until caches (or actors) are full.
    node_bytes: memory of a node for snapshots and the trainee's weights.
    """

    name: str
    snapshots: dict[str, Estimate]
    weights: dict[str, float]
    first_fill_bytes: float
    node_bytes: float

    def bytes_per_s(self, link: str) -> float:
        """Return the bytes/s over a link, of snapshots and weights together."""
        return self.snapshots[link].value + self.weights[link]


def compute_designs(size: Size, snapshot_share: float, misses: MissRates | None) -> list[Design]:
    """Return all four designs. `misses` is None if the matchmaker never picks a snapshot."""
    snapshots, weights = _snapshots(size, snapshot_share, misses), _weights(size)
    snapshot, pool = size.snapshot_bytes, size.replica_bytes if snapshot_share else 0.0
    # Snapshots held by an actor, and bytes held by a rack's and a node's cache once they are full.
    held = min(size.opponents_at_once, size.pool_snapshots) if snapshot_share else 0
    rack = min(size.rack_cache_snapshots or math.inf, size.pool_snapshots) * snapshot if snapshot_share else 0.0
    cached = min(size.node_cache_snapshots or math.inf, size.pool_snapshots) * snapshot if snapshot_share else 0.0
    actors = size.actors_per_node
    fill = {"a": size.actors * pool, "b": size.actors * held * snapshot, "c": size.racks * rack, "d": size.racks * rack}
    memory = {
        "a": actors * (pool + snapshot),
        "b": actors * (held + 1) * snapshot,
        "c": actors * (held + 1) * snapshot,
        # Actors of a node share every copy; snapshots in use stay in memory even if the cache is smaller.
        "d": max(cached, min(actors * held * snapshot, pool)) + snapshot,
    }
    return [Design(name, snapshots[name], weights[name], fill[name], memory[name]) for name in DESIGNS]


def utilization(size: Size, design: Design, self_play: float) -> dict[str, float]:
    """Return the utilization of each resource by the design; above 1 the resource is too small."""
    gbit_per_s = {
        STORE: size.store_gbit_per_s,
        UPLINK: size.rack_uplink_gbit_per_s,
        RACK_CACHE: size.node_gbit_per_s,
        NODE: size.node_gbit_per_s,
    }
    shares = {link: design.bytes_per_s(link) / bytes_per_s(gbit) for link, gbit in gbit_per_s.items()}
    shares[MEMORY] = design.node_bytes / size.node_memory_bytes
    shares[LEARNER] = size.agent_steps_per_s(self_play) / size.learner_agent_steps_per_s
    return shares


def actor_limit(actors: int, used: dict[str, float]) -> tuple[float, str]:
    """Return the largest number of actors that all resources can serve, and the bottleneck that limits it.

    `used` is the utilization of each resource with `actors` actors. The limit is 0 if a rack or node is too small,
    because more racks do not help. Otherwise only shared resources count: more racks do not load a rack or node more.
    """
    too_small = {name: share for name, share in used.items() if name not in SHARED and share > 1}
    if too_small:
        return 0.0, max(too_small, key=too_small.__getitem__)
    fullest = max(SHARED, key=used.__getitem__)
    return (actors / used[fullest], fullest)


def _snapshots(size: Size, share: float, misses: MissRates | None) -> dict[str, dict[str, Estimate]]:
    """Return the bytes/s of opponents by design and link."""
    per_rack = size.actors_per_rack * size.requests_per_s(share) * size.snapshot_bytes
    # Design a fetches each new snapshot into every actor, however many matches are played.
    pushed = size.actors_per_rack * size.snapshot_bytes / size.freeze_interval_s if share else 0.0
    misses = misses or MissRates(Estimate(0.0), Estimate(0.0), Estimate(0.0))  # without requests
    every = Estimate(1.0)
    return {
        "a": _through(size, Estimate(pushed), None, Estimate(pushed)),
        "b": _through(size, every.times(per_rack), None, every.times(per_rack)),
        "c": _through(size, misses.rack.times(per_rack), every.times(per_rack), every.times(per_rack)),
        "d": _through(size, misses.both.times(per_rack), misses.node.times(per_rack), misses.node.times(per_rack)),
    }


def _through(size: Size, into_rack: Estimate, from_cache: Estimate | None, to_nodes: Estimate) -> dict[str, Estimate]:
    """Return bytes/s by link, given those of one rack: into it, out of its cache, and into all of its nodes."""
    return {
        STORE: into_rack.times(size.racks),
        UPLINK: into_rack,
        RACK_CACHE: from_cache or Estimate(0.0),
        NODE: to_nodes.times(1 / size.nodes_per_rack),
    }


def _weights(size: Size) -> dict[str, dict[str, float]]:
    """Return the bytes/s of the trainee's weights by design and link. All receivers behind a cache share one pull."""
    # Bytes/s into one rack: each actor pulls; one pull per node; one pull per rack.
    alone = size.actors_per_rack * size.versions_per_s(1) * size.snapshot_bytes
    by_node = size.nodes_per_rack * size.versions_per_s(size.actors_per_node) * size.snapshot_bytes
    by_rack = size.versions_per_s(size.actors_per_rack) * size.snapshot_bytes
    # design -> bytes/s of one rack: into it, out of its cache, into all of its nodes
    ways = {"a": (alone, 0.0, alone), "b": (alone, 0.0, alone), "c": (by_rack, alone, alone)}
    ways["d"] = (by_rack, by_node, by_node)
    return {
        name: {STORE: rack * size.racks, UPLINK: rack, RACK_CACHE: cache, NODE: nodes / size.nodes_per_rack}
        for name, (rack, cache, nodes) in ways.items()
    }
