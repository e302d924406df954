"""An event simulation of a league's transfers, one by one: the check of the arithmetic in `traffic`.

Thousands of actors play. Between two matches each fetches its next opponent, drawn from the matchmaker's distribution
over ages, and the newest version of the trainee. Caches behave as the real ones (`store.lru.Lru`, concurrent requests
share a fetch). Links are simplified: each carries one transfer after the other at its bandwidth, and a transfer over
several links is done when the slowest of them is. An actor plays only while no transfer to it is pending. So an
overloaded link shows as lost playing time, and not only as a utilization above 1.

The caches start in their steady state (see `caches`), and a warm-up is not counted.

With caches per rack the matchmaker may prefer snapshots in the actor's rack, as `league.placement` does in a run; a run
learns the content of a cache with a delay, the simulation without.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from marl_app.league.payoff import Float64s
from marl_app.league.placement import prefer_held, total_variation
from marl_app.planning.caches import draw_last_requests, filled_cache, most_recent
from marl_app.planning.opponents import Opponents
from marl_app.planning.size import Size, bytes_per_s
from marl_app.planning.traffic import NODE, RACK_CACHE, STORE, UPLINK
from marl_app.store.lru import Lru

WARM_UP = 1.5  # duration of the warm-up in matches


@dataclass(frozen=True)
class SimulatedTraffic:
    """The simulated traffic of one design.

    playing: share of the actors' time spent in matches, 1 without waiting. bytes_per_s, snapshots: bytes/s over each
    link, with and without the trainee's weights; in total for the store, mean over racks or nodes for the others, as in
    `traffic.Design`. fetch_s: mean wait between two matches. hit_rate: share of snapshot requests answered by a rack's
    or node's cache. distortion: mean total variation distance between the matchmaker's distribution and those that
    opponents were drawn from; distortion_of_all: distance to the mean of the latter.
    """

    design: str
    actors: int
    playing: float
    bytes_per_s: dict[str, float]
    snapshots: dict[str, float]
    fetch_s: float
    hit_rate: float
    requests: int
    distortion: float = 0.0
    distortion_of_all: float = 0.0


Item = tuple[int, bool]
"""What a transfer carries: (number of a snapshot, True) or (version of the trainee, False)."""


@dataclass
class _Cache:
    """A cache of snapshots and of the newest version of the trainee.

    ready: item -> time at which it arrives or arrived. waiting: item -> the actors that wait for an item whose arrival
    time is not known yet.
    """

    snapshots: Lru[int, None]
    version: int = -1
    ready: dict[Item, float] = field(default_factory=dict)
    waiting: dict[Item, list[int]] = field(default_factory=dict)

    def request(self, item: Item) -> bool:
        """Return whether the item is cached or being fetched; the caller fetches it after a miss."""
        number, snapshot = item
        if snapshot:
            return self.snapshots.request(number, None)
        # Only the newest version is kept: it replaces the one before.
        hit, self.version = self.version == number, number
        return hit


class Link:
    """A link that carries transfers one after the other."""

    __slots__ = ("_per_s", "free_at")

    def __init__(self, gbit_per_s: float) -> None:
        self._per_s = bytes_per_s(gbit_per_s)
        self.free_at = 0.0

    def send(self, now: float, size: float) -> float:
        """Queue a transfer of `size` bytes at the time `now`; return the time at which it is done."""
        self.free_at = max(self.free_at, now) + size / self._per_s
        return self.free_at


def simulate_actors(
    size: Size, opponents: Opponents, design: str, seconds: float, rng: np.random.Generator, tolerance: float = 0.0
) -> SimulatedTraffic:
    """Simulate `seconds` of play after the warm-up.

    `design` is a letter of `traffic.DESIGNS`; `tolerance` is the preference for snapshots in the rack's cache, see
    `league.placement`.
    """
    return _Simulation(size, opponents, design, rng, tolerance).run(seconds)


class _Simulation:
    """The state of all actors, caches and links. Times are in seconds.

    Actor a is on node a % nodes, and node n in rack n % racks.
    """

    def __init__(
        self, size: Size, opponents: Opponents, design: str, rng: np.random.Generator, tolerance: float
    ) -> None:
        self.size, self.opponents, self.design, self.rng = size, opponents, design, rng
        self.tolerance = tolerance if design in "cd" else 0.0
        self.drawn_from: Float64s = np.zeros(len(opponents.ages))  # sum of the distributions of drawn opponents
        self.distortion = 0.0
        self.period = 1 / size.requests_per_s(1.0)  # time between two requests of an actor
        self.begin = WARM_UP * self.period
        self.phase = rng.random()  # part of the current freeze interval that has passed at the start
        self.store = Link(size.store_gbit_per_s)
        self.uplinks = [Link(size.rack_uplink_gbit_per_s) for _ in range(size.racks)]
        self.rack_links = [Link(size.node_gbit_per_s) for _ in range(size.racks)]
        self.node_links = [Link(size.node_gbit_per_s) for _ in range(size.nodes)]
        self.racks = [_Cache(Lru(size.rack_cache_snapshots)) for _ in range(size.racks)]
        self.nodes = [_Cache(Lru(size.node_cache_snapshots)) for _ in range(size.nodes)]
        self._fill_caches()
        # A heap of (time, tie-breaker, actor, item): an item ready in the rack's cache, or None = the end of a match.
        self.events: list[tuple[float, int, int, Item | None]] = []
        self.ties = count()
        self.ages: list[int] = []  # opponents drawn in advance, by age
        # By actor: items it waits for, arrival of the latest item, time of its request.
        self.pending = [0] * size.actors
        self.arrived = [0.0] * size.actors
        self.requested = [0.0] * size.actors
        self.newest = [int(self.phase)] * size.actors  # design a: the newest snapshot that an actor holds
        self.moved: defaultdict[tuple[str, bool], float] = defaultdict(float)  # (link, is snapshot) -> bytes
        self.requests = self.hits = self.waits = 0
        self.waited = self.played = 0.0

    def _fill_caches(self) -> None:
        """Put the caches into their steady state."""
        size, share = self.size, self.opponents.share
        if self.design not in "cd" or not share:
            return
        # The rack sees the requests of all its nodes: a snapshot's last request is the latest of theirs.
        parts = size.nodes_per_rack if self.design == "d" else 1
        per_part = size.actors_per_rack * size.requests_per_s(share) * size.freeze_interval_s / parts
        for rack, cache in enumerate(self.racks):
            last = draw_last_requests(self.opponents.ages, per_part, parts, self.phase, self.rng)
            cache.snapshots = filled_cache(
                size.rack_cache_snapshots, most_recent(last.min(axis=0), size.rack_cache_snapshots)
            )
            if self.design == "d":
                for node, lags in zip(range(rack, size.nodes, size.racks), last, strict=True):
                    content = most_recent(lags, size.node_cache_snapshots)
                    self.nodes[node].snapshots = filled_cache(size.node_cache_snapshots, content)

    def run(self, seconds: float) -> SimulatedTraffic:
        """Process events until `seconds` after the warm-up; return the averages."""
        size, end = self.size, self.begin + seconds
        # Actors start at random times of their first match.
        for actor, when in enumerate((self.rng.random(size.actors) * self.period).tolist()):
            self._push(when, actor, None)
        while self.events[0][0] <= end:
            now, _, actor, item = heapq.heappop(self.events)
            if item is not None:
                self._over_rack(now, actor, item)
                continue
            # A match has ended: count its part after the warm-up.
            self.played += max(0.0, now - max(self.begin, now - self.period))
            self._request(now, actor)
        for when, _, _, item in self.events:  # unfinished matches: count the part before the end
            if item is None:
                self.played += max(0.0, end - max(self.begin, when - self.period))
        parts = {STORE: 1, UPLINK: size.racks, RACK_CACHE: size.racks, NODE: size.nodes}
        rates = {key: total / seconds / parts[key[0]] for key, total in self.moved.items()}
        snapshots = {link: rates.get((link, True), 0.0) for link in parts}
        return SimulatedTraffic(
            design=self.design,
            actors=size.actors,
            playing=min(1.0, self.played / (size.actors * seconds)),
            bytes_per_s={link: moved + rates.get((link, False), 0.0) for link, moved in snapshots.items()},
            snapshots=snapshots,
            fetch_s=self.waited / max(1, self.waits),
            hit_rate=self.hits / max(1, self.requests),
            requests=self.requests,
            distortion=self.distortion / max(1, self.requests),
            distortion_of_all=self._total_distortion(),
        )

    def _total_distortion(self) -> float:
        """Return the distance between the matchmaker's distribution and the mean of those drawn from."""
        total = self.drawn_from.sum()
        return total_variation(self.drawn_from / total, self.opponents.ages) if total else 0.0

    def _push(self, when: float, actor: int, item: Item | None) -> None:
        heapq.heappush(self.events, (when, next(self.ties), actor, item))

    def _request(self, now: float, actor: int) -> None:
        """Between two matches, request the next opponent and the trainee's newest weights."""
        size = self.size
        newest = int(now / size.freeze_interval_s + self.phase)
        wanted: list[Item] = [(int(now / size.update_interval_s), False)]
        if self.design == "a" and self.opponents.share:
            wanted += [(snapshot, True) for snapshot in range(self.newest[actor] + 1, newest + 1)]
            self.newest[actor] = newest
        elif self.design != "a" and self.rng.random() < self.opponents.share:
            age = self._draw_placed_age(now, newest, actor) if self.tolerance else self._draw_age()
            wanted.append((newest - age, True))
        self.requested[actor] = self.arrived[actor] = now
        self.pending[actor] = len(wanted)
        for item in wanted:
            if self.design in "ab":
                node = actor % size.nodes
                links = (STORE, self.store), (UPLINK, self.uplinks[node % size.racks]), (NODE, self.node_links[node])
                self._arrive(actor, self._transfer(now, item, links))
            else:
                self._request_from_caches(now, actor, item)

    def _request_from_caches(self, now: float, actor: int, item: Item) -> None:
        """Look an item up in the node's cache (design d), then in the rack's, then fetch it from the store."""
        size, node = self.size, actor % self.size.nodes
        rack = self.racks[node % size.racks]
        if item[1] and now >= self.begin:
            self.requests += 1
        if self.design == "d":
            node_cache = self.nodes[node]
            if node_cache.request(item):
                self.hits += item[1] and now >= self.begin
                waiting = node_cache.waiting.get(item)
                if waiting is None:
                    # No arrival time: cached since the start.
                    self._arrive(actor, max(now, node_cache.ready.get(item, now)))
                else:
                    waiting.append(actor)
                return
            node_cache.waiting[item] = [actor]
        if rack.request(item):
            self.hits += item[1] and now >= self.begin
            ready = max(now, rack.ready.get(item, now))
        else:
            links = (STORE, self.store), (UPLINK, self.uplinks[node % size.racks])
            ready = rack.ready[item] = self._transfer(now, item, links)
        # The transfer to the node is queued on its links when the item is in the rack, and not before.
        self._push(ready, actor, item)

    def _over_rack(self, now: float, actor: int, item: Item) -> None:
        """Send an item from a rack's cache, where it is ready now, to the node of the actor."""
        node = actor % self.size.nodes
        links = (RACK_CACHE, self.rack_links[node % self.size.racks]), (NODE, self.node_links[node])
        done = self._transfer(now, item, links)
        waiting = [actor]
        if self.design == "d":
            self.nodes[node].ready[item] = done
            waiting = self.nodes[node].waiting.pop(item)
        for waiting_actor in waiting:
            self._arrive(waiting_actor, done)

    def _transfer(self, now: float, item: Item, links: Iterable[tuple[str, Link]]) -> float:
        """Send an item over all of these links in parallel; return when the last of them is done."""
        done = now
        for name, link in links:
            done = max(done, link.send(now, self.size.snapshot_bytes))
            if now >= self.begin:
                self.moved[name, item[1]] += self.size.snapshot_bytes
        return done

    def _arrive(self, actor: int, when: float) -> None:
        """Deliver one item to an actor; its next match begins with the last item."""
        self.arrived[actor] = max(self.arrived[actor], when)
        self.pending[actor] -= 1
        if self.pending[actor]:
            return
        if self.requested[actor] >= self.begin:
            self.waits += 1
            self.waited += self.arrived[actor] - self.requested[actor]
        self._push(self.arrived[actor] + self.period, actor, None)

    def _draw_placed_age(self, now: float, newest: int, actor: int) -> int:
        """Draw the age of the next opponent, with a preference for snapshots in the cache of the actor's rack."""
        target = self.opponents.ages
        # Ages of the cached snapshots; the newest may be missing, and old ones may have left the pool.
        ages = newest - np.array(list(self.racks[actor % self.size.nodes % self.size.racks].snapshots), np.int64)
        held = np.zeros(len(target), np.bool_)  # [pool], by age
        held[ages[(ages >= 0) & (ages < len(target))]] = True
        preferred = prefer_held(target, held, self.tolerance)
        if now >= self.begin:
            self.drawn_from += preferred
            self.distortion += total_variation(target, preferred)
        return int(self.rng.choice(len(preferred), p=preferred))

    def _draw_age(self) -> int:
        """Draw the age of the next opponent from the matchmaker's distribution."""
        # In blocks, because a single draw costs nearly as much.
        if not self.ages:
            self.ages = self.rng.choice(len(self.opponents.ages), 4096, p=self.opponents.ages).tolist()
        return self.ages.pop()
