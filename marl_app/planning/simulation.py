"""A league's snapshots on their way, transfer by transfer: the check of what `traffic` reckons.

Thousands of actors play, and between two matches each fetches its next opponent, drawn by the matchmaker's distribution
over ages, and the newest version of the trainee. Caches are the real ones (`store.lru.Lru`, one fetch for all who ask
meanwhile); links are not: each moves one transfer after the other at its bandwidth, and a transfer that crosses several
is done when the slowest of them is. An actor plays only while it waits for nothing. So a link that is too small shows
as a share of time that is lost, and not only as a utilization above 1.

The caches start as if they had run forever (see `caches`), and the first part of the time is not counted.

With caches per rack the matchmaker may prefer what the actor's rack holds, as `league.placement` does in a run; a run
knows it a little later, here it is known at once.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from marl_app.league.payoff import Floats
from marl_app.league.placement import prefer_held, total_variation
from marl_app.planning.caches import draw_last_requests, filled_cache, most_recent
from marl_app.planning.opponents import Opponents
from marl_app.planning.size import Size, bytes_per_s
from marl_app.planning.traffic import NODE, RACK_CACHE, STORE, UPLINK
from marl_app.store.lru import Lru

WARM_UP = 1.5  # matches that are not counted


@dataclass(frozen=True)
class SimulatedTraffic:
    """One design, as simulated.

    playing: the share of the actors' time in which they played, 1 without any waiting. bytes_per_s and snapshots:
    over each link, of all of the store but of the others on average over the racks or nodes, as in `traffic.Design`;
    `snapshots` without the trainee's weights. fetch_s: the mean wait between two matches. hit_rate: of requests for
    snapshots, answered by a rack's or a node's cache. distortion: the mean total variation distance from the
    matchmaker's distribution to those that were dealt from; distortion_of_all: that of their mean.
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


@dataclass
class _Cache:
    """Snapshots, and the newest version of the trainee. `ready`: when what was fetched arrives, or arrived;
    `under_way`: who waits for what has no such time yet."""

    snapshots: Lru[int, None]
    version: int = -1
    ready: dict[Item, float] = field(default_factory=dict)
    under_way: dict[Item, list[int]] = field(default_factory=dict)

    def has(self, item: Item) -> bool:
        """Whether it is there or under way; it is afterwards."""
        number, snapshot = item
        if snapshot:
            return self.snapshots.request(number, None)
        had, self.version = self.version == number, number
        return had


class Link:
    """Moves transfers one after the other."""

    __slots__ = ("_per_s", "free_at")

    def __init__(self, gbit_per_s: float) -> None:
        self._per_s = bytes_per_s(gbit_per_s)
        self.free_at = 0.0

    def send(self, now: float, size: float) -> float:
        self.free_at = max(self.free_at, now) + size / self._per_s
        return self.free_at


def simulate_actors(
    size: Size, opponents: Opponents, design: str, seconds: float, rng: np.random.Generator, tolerance: float = 0.0
) -> SimulatedTraffic:
    """Play for so many seconds after the warm-up. `design` is a letter of `traffic.DESIGNS`; `tolerance` says how far
    what a rack holds is preferred, see `league.placement`."""
    return _Simulation(size, opponents, design, rng, tolerance).run(seconds)


class _Simulation:
    """The state of all actors, caches and links. Times are in seconds.

    An item is what moves: (snapshot, True) or (version of the trainee, False).
    """

    def __init__(
        self, size: Size, opponents: Opponents, design: str, rng: np.random.Generator, tolerance: float
    ) -> None:
        self.size, self.opponents, self.design, self.rng = size, opponents, design, rng
        self.tolerance = tolerance if design in "cd" else 0.0
        self.dealt: Floats = np.zeros(len(opponents.ages))  # the sum of the distributions that were dealt from
        self.distortion = 0.0
        self.period = 1 / size.requests_per_s(1.0)  # an actor changes opponents so often
        self.begin = WARM_UP * self.period
        self.phase = rng.random()  # of the freeze interval in which the simulation starts
        self.store = Link(size.store_gbit_per_s)
        self.uplinks = [Link(size.rack_uplink_gbit_per_s) for _ in range(size.racks)]
        self.rack_links = [Link(size.node_gbit_per_s) for _ in range(size.racks)]
        self.node_links = [Link(size.node_gbit_per_s) for _ in range(size.nodes)]
        self.racks = [_Cache(Lru(size.rack_cache_snapshots)) for _ in range(size.racks)]
        self.nodes = [_Cache(Lru(size.node_cache_snapshots)) for _ in range(size.nodes)]
        self._fill_caches()
        self.events: list[tuple[float, int, int, Item | None]] = []  # time, a tie-breaker, actor, what is delivered
        self.ties = count()
        self.ages: list[int] = []
        self.pending = [0] * size.actors
        self.arrived = [0.0] * size.actors
        self.asked = [0.0] * size.actors
        self.newest = [int(self.phase)] * size.actors  # design a: of the snapshots that an actor holds
        self.moved: defaultdict[tuple[str, bool], float] = defaultdict(float)
        self.requests = self.hits = self.waits = 0
        self.waited = self.played = 0.0

    def _fill_caches(self) -> None:
        size, share = self.size, self.opponents.share
        if self.design not in "cd" or not share:
            return
        parts = size.nodes_per_rack if self.design == "d" else 1
        per_part = size.actors_per_rack * size.requests_per_s(share) * size.freeze_interval_s / parts
        for rack, cache in enumerate(self.racks):
            last = draw_last_requests(self.opponents.ages, per_part, parts, self.phase, self.rng)
            cache.snapshots = filled_cache(
                size.rack_cache_snapshots, most_recent(last.min(axis=0), size.rack_cache_snapshots)
            )
            if self.design == "d":
                for node, lags in zip(range(rack, size.nodes, size.racks), last, strict=True):
                    held = most_recent(lags, size.node_cache_snapshots)
                    self.nodes[node].snapshots = filled_cache(size.node_cache_snapshots, held)

    def run(self, seconds: float) -> SimulatedTraffic:
        size, end = self.size, self.begin + seconds
        for actor, when in enumerate((self.rng.random(size.actors) * self.period).tolist()):
            self._push(when, actor, None)
        while self.events[0][0] <= end:
            now, _, actor, item = heapq.heappop(self.events)
            if item is not None:
                self._over_rack(now, actor, item)
                continue
            self.played += max(0.0, now - max(self.begin, now - self.period))
            self._ask(now, actor)
        for when, _, _, item in self.events:  # matches under way, of which a part was played
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
            distortion_of_all=total_variation(self.dealt / self.dealt.sum(), self.opponents.ages)
            if self.dealt.any()
            else 0.0,
        )

    def _push(self, when: float, actor: int, item: Item | None) -> None:
        heapq.heappush(self.events, (when, next(self.ties), actor, item))

    def _ask(self, now: float, actor: int) -> None:
        """Between two matches: ask for an opponent and for the trainee's newest weights."""
        size = self.size
        newest = int(now / size.freeze_interval_s + self.phase)
        wanted: list[Item] = [(int(now / size.update_interval_s), False)]
        if self.design == "a" and self.opponents.share:
            wanted += [(snapshot, True) for snapshot in range(self.newest[actor] + 1, newest + 1)]
            self.newest[actor] = newest
        elif self.design != "a" and self.rng.random() < self.opponents.share:
            age = self._placed_age(now, newest, actor) if self.tolerance else self._age()
            wanted.append((newest - age, True))
        self.asked[actor] = self.arrived[actor] = now
        self.pending[actor] = len(wanted)
        for item in wanted:
            if self.design in "ab":
                node = actor % size.nodes
                links = (STORE, self.store), (UPLINK, self.uplinks[node % size.racks]), (NODE, self.node_links[node])
                self._arrive(actor, self._transfer(now, item, links))
            else:
                self._ask_caches(now, actor, item)

    def _ask_caches(self, now: float, actor: int, item: Item) -> None:
        size, node = self.size, actor % self.size.nodes
        rack = self.racks[node % size.racks]
        if item[1] and now >= self.begin:
            self.requests += 1
        if self.design == "d":
            at_node = self.nodes[node]
            if at_node.has(item):
                self.hits += item[1] and now >= self.begin
                waiting = at_node.under_way.get(item)
                if waiting is None:
                    self._arrive(actor, max(now, at_node.ready.get(item, now)))
                else:
                    waiting.append(actor)
                return
            at_node.under_way[item] = [actor]
        if rack.has(item):
            self.hits += item[1] and now >= self.begin
            ready = max(now, rack.ready.get(item, now))
        else:
            links = (STORE, self.store), (UPLINK, self.uplinks[node % size.racks])
            ready = rack.ready[item] = self._transfer(now, item, links)
        self._push(ready, actor, item)

    def _over_rack(self, now: float, actor: int, item: Item) -> None:
        """From a rack's cache, which has it now, to a node."""
        node = actor % self.size.nodes
        links = (RACK_CACHE, self.rack_links[node % self.size.racks]), (NODE, self.node_links[node])
        done = self._transfer(now, item, links)
        waiting = [actor]
        if self.design == "d":
            self.nodes[node].ready[item] = done
            waiting = self.nodes[node].under_way.pop(item)
        for one in waiting:
            self._arrive(one, done)

    def _transfer(self, now: float, item: Item, links: Iterable[tuple[str, Link]]) -> float:
        """When it is done, over all of these links at the same time."""
        done = now
        for name, link in links:
            done = max(done, link.send(now, self.size.snapshot_bytes))
            if now >= self.begin:
                self.moved[name, item[1]] += self.size.snapshot_bytes
        return done

    def _arrive(self, actor: int, when: float) -> None:
        """One of the things that an actor waits for; with the last one its next match begins."""
        self.arrived[actor] = max(self.arrived[actor], when)
        self.pending[actor] -= 1
        if self.pending[actor]:
            return
        if self.asked[actor] >= self.begin:
            self.waits += 1
            self.waited += self.arrived[actor] - self.asked[actor]
        self._push(self.arrived[actor] + self.period, actor, None)

    def _placed_age(self, now: float, newest: int, actor: int) -> int:
        """The age of the next opponent, with a preference for what the actor's rack holds."""
        asked = self.opponents.ages
        ages = newest - np.array(list(self.racks[actor % self.size.nodes % self.size.racks].snapshots), np.int64)
        held = np.zeros(len(asked), np.bool_)
        held[ages[(ages >= 0) & (ages < len(asked))]] = True
        dealt = prefer_held(asked, held, self.tolerance)
        if now >= self.begin:
            self.dealt += dealt
            self.distortion += total_variation(asked, dealt)
        return int(self.rng.choice(len(dealt), p=dealt))

    def _age(self) -> int:
        if not self.ages:
            self.ages = self.rng.choice(len(self.opponents.ages), 4096, p=self.opponents.ages).tolist()
        return self.ages.pop()
