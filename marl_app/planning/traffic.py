"""Four ways to get snapshots to actors: the bytes of each over every link, and how many actors each can serve.

Where bytes pass: the store sends to the uplinks of the racks; a rack's cache, if there is one, stands behind its uplink
and sends to the nodes. The trainee's weights take the same way: the learner puts each version into the store.

More actors are more racks of the same kind, and the update interval stays (a larger batch instead). So what the store
sends and what the learner trains on grow in proportion to the actors, while a rack and a node are either enough for any
number of actors or too small for one rack of them. All rates are those of actors that play at full speed: a learner or
a link that is more than full slows them down, and everything with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from marl_app.planning.caches import Estimate, MissRates
from marl_app.planning.size import Size, bytes_per_s

STORE, UPLINK, RACK_CACHE, NODE = "store", "rack uplink", "rack cache", "node link"
MEMORY, LEARNER = "node memory", "learner"
LINKS = (STORE, UPLINK, RACK_CACHE, NODE)
SHARED = (STORE, LEARNER)  # what all actors share: it fills up with their number
DESIGNS = {
    "a": "every actor holds the pool",
    "b": "one opponent at a time, no caches",
    "c": "a cache per rack",
    "d": "and one per node, in shared memory",
}


@dataclass(frozen=True)
class Design:
    """One way, at the number of actors of its size. By link, in bytes/s: all of the store, but each of the others.

    `snapshots` and `weights`: what moves in steady state, for opponents and for the trainee. `first_fill_bytes`: what
    the store sends once, until the caches (or actors) hold what they can. `node_bytes`: the memory that snapshots and
    trainee take in a node.
    """

    name: str
    snapshots: dict[str, Estimate]
    weights: dict[str, float]
    first_fill_bytes: float
    node_bytes: float

    def bytes_per_s(self, link: str) -> float:
        return self.snapshots[link].value + self.weights[link]


def compute_designs(size: Size, snapshot_share: float, misses: MissRates | None) -> list[Design]:
    """All four. `misses` None: the matchmaker never asks for a snapshot."""
    snapshots, weights = _snapshots(size, snapshot_share, misses), _weights(size)
    one, pool = size.snapshot_bytes, size.replica_bytes if snapshot_share else 0.0
    held = min(size.opponents_at_once, size.pool_snapshots) if snapshot_share else 0
    rack = min(size.rack_cache_snapshots or math.inf, size.pool_snapshots) * one if snapshot_share else 0.0
    cached = min(size.node_cache_snapshots or math.inf, size.pool_snapshots) * one if snapshot_share else 0.0
    actors = size.actors_per_node
    fill = {"a": size.actors * pool, "b": size.actors * held * one, "c": size.racks * rack, "d": size.racks * rack}
    memory = {
        "a": actors * (pool + one),
        "b": actors * (held + 1) * one,
        "c": actors * (held + 1) * one,
        # Actors of a node share every copy, and what they play with is there whatever the cache's size.
        "d": max(cached, min(actors * held * one, pool)) + one,
    }
    return [Design(name, snapshots[name], weights[name], fill[name], memory[name]) for name in DESIGNS]


def utilization(size: Size, design: Design, self_play: float) -> dict[str, float]:
    """Share of each resource that the design takes; above 1 it is not enough."""
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
    """The number of actors up to which everything is enough, and the bottleneck: the resource that then is not.

    0 actors if a rack or a node is too small however many there are; `used` is at `actors` of them. The fullest
    resource is no bottleneck if it belongs to a rack or a node, and is enough: more actors do not fill it.
    """
    too_small = {name: share for name, share in used.items() if name not in SHARED and share > 1}
    if too_small:
        return 0.0, max(too_small, key=too_small.__getitem__)
    fullest = max(SHARED, key=used.__getitem__)
    return (actors / used[fullest], fullest)


def _snapshots(size: Size, share: float, misses: MissRates | None) -> dict[str, dict[str, Estimate]]:
    """Bytes/s of opponents by design and link."""
    per_rack = size.actors_per_rack * size.requests_per_s(share) * size.snapshot_bytes
    pushed = size.actors_per_rack * size.snapshot_bytes / size.freeze_interval_s if share else 0.0
    misses = misses or MissRates(Estimate(0.0), Estimate(0.0), Estimate(0.0))  # of no requests
    every = Estimate(1.0)
    return {
        "a": _through(size, Estimate(pushed), None, Estimate(pushed)),
        "b": _through(size, every.times(per_rack), None, every.times(per_rack)),
        "c": _through(size, misses.rack.times(per_rack), every.times(per_rack), every.times(per_rack)),
        "d": _through(size, misses.both.times(per_rack), misses.node.times(per_rack), misses.node.times(per_rack)),
    }


def _through(size: Size, into_rack: Estimate, from_cache: Estimate | None, to_nodes: Estimate) -> dict[str, Estimate]:
    """Bytes/s by link, from those of one rack: into it, out of its cache, and to all of its nodes."""
    return {
        STORE: into_rack.times(size.racks),
        UPLINK: into_rack,
        RACK_CACHE: from_cache or Estimate(0.0),
        NODE: to_nodes.times(1 / size.nodes_per_rack),
    }


def _weights(size: Size) -> dict[str, dict[str, float]]:
    """Bytes/s of the trainee's weights by design and link: what a receiver pulled is shared behind it."""
    alone = size.actors_per_rack * size.versions_per_s(1) * size.snapshot_bytes
    by_node = size.nodes_per_rack * size.versions_per_s(size.actors_per_node) * size.snapshot_bytes
    by_rack = size.versions_per_s(size.actors_per_rack) * size.snapshot_bytes
    ways = {"a": (alone, 0.0, alone), "b": (alone, 0.0, alone), "c": (by_rack, alone, alone)}
    ways["d"] = (by_rack, by_node, by_node)
    return {
        name: {STORE: rack * size.racks, UPLINK: rack, RACK_CACHE: cache, NODE: nodes / size.nodes_per_rack}
        for name, (rack, cache, nodes) in ways.items()
    }
