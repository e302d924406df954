"""A cache in every rack of a Ray cluster, and one copy per node: the only file of the data plane that uses Ray.

A node label names the rack of a node (`ray start --labels rack=r7`); nodes without it form one rack. In each rack an
actor holds the most recently requested blobs in the shared memory of its node. An env runner requests a blob from the
actor of its rack and receives a Ray reference. When the first env runner on a node resolves it, Ray copies the bytes to
that node; all others on the node read the same copy, and large networks use the weights in it without copying them. So
a snapshot crosses the store's link once per rack, and the link of the rack's cache once per node.

If an actor or its node dies, Ray restarts the actor in the same rack with an empty cache. While it is unavailable for
any reason, env runners read the store. Bytes are verified against the digest when they enter a rack, and again by each
env runner.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray
from ray import ObjectRef
from ray.exceptions import RayError

from marl_app.store.cache import Cache
from marl_app.store.codec import Buffer
from marl_app.store.reader import FETCH_ERRORS, RETRY_PAUSE_S, DirectReader, Inventory, fetch
from marl_app.store.store import Store, digest_of
from marl_app.store.traffic import NODE_TO_RUNNER, RACK_TO_NODE, STORE_TO_RACK, Traffic

logger = logging.getLogger(__name__)

MAX_CONCURRENT_REQUESTS = 16
"""Requests that an actor handles in parallel (Ray threads); further requests queue."""
STORE_PAUSE_S = 5.0
"""Pause after the store did not answer, in which misses fail immediately instead of each waiting for its timeout."""
RUNNER_TIMEOUT_S = 900.0
"""An env runner without a request for this long counts as gone: its pins are released."""


class RackCaches:
    """The option `cache=rack`, see `reader.CacheOption`.

    capacity_bytes: of each rack's cache. It is in the shared memory of one node, so Ray's object store must have room
    for it (`ray start --object-store-memory`); otherwise Ray spills the rest to disk.
    rack_label: the node label that names the rack.
    timeout_s: of a request to an actor; after that the env runner reads the store.
    shared: False sends every env runner a private copy, to measure the effect of sharing (`task=stress`).
    """

    def __init__(self, capacity_bytes: int, rack_label: str, timeout_s: float, shared: bool = True) -> None:
        for name, value in (("capacity_bytes", capacity_bytes), ("timeout_s", timeout_s)):
            if not value > 0:
                raise ValueError(f"cache.{name}={value} is not allowed: give a value > 0")
        self._capacity_bytes = int(capacity_bytes)
        self._rack_label = rack_label
        self._timeout_s = timeout_s
        self._shared = shared
        self._actors: dict[str, Any] = {}

    def start(self, store: Store) -> list[Any]:
        """Start one actor in each rack that has a node now; return their handles.

        The actors live as long as their handles. Readers receive the handles with this object; looking actors up by
        name would depend on Ray loading the actor's class in every process.
        """
        labels = [node.get("Labels", {}) for node in ray.nodes() if node["Alive"]]
        # No CPU is reserved, so that a full rack still has room for its cache.
        actor = ray.remote(num_cpus=0, max_restarts=-1, max_concurrency=MAX_CONCURRENT_REQUESTS)(_RackCache)
        for rack in sorted({label.get(self._rack_label, "") for label in labels}):
            # Restarts obey the selector too: the actor stays in its rack.
            where = {"label_selector": {self._rack_label: rack}} if rack else {}
            self._actors[rack] = actor.options(**where).remote(store, self._capacity_bytes)
        return list(self._actors.values())

    def reader(self, store: Store) -> RackReader:
        rack = ray.get_runtime_context().get_node_labels().get(self._rack_label, "")
        return RackReader(store, self._actors.get(rack), self._timeout_s, self._shared, rack=rack)

    def inventory(self) -> Inventory:
        return _RackInventory(self._actors)


class _RackInventory:
    """The contents of the caches as last reported. Each cache has one pending request; until it answers, its previous
    report counts."""

    def __init__(self, actors: Mapping[str, Any]) -> None:
        self._actors = actors
        self._pending: dict[str, ObjectRef] = {}  # rack -> the answer that is awaited
        self._contents: dict[str, frozenset[str]] = {}  # rack -> digests

    def __call__(self) -> Mapping[str, frozenset[str]]:
        for rack, actor in self._actors.items():
            pending = self._pending.pop(rack, None)
            if pending is not None:
                # timeout=0 polls: a slow or dead cache never blocks training.
                if not ray.wait([pending], timeout=0)[0]:
                    self._pending[rack] = pending
                    continue
                try:
                    self._contents[rack] = frozenset(ray.get(pending))
                except RayError:  # the actor died and restarts empty
                    self._contents.pop(rack, None)
            self._pending[rack] = actor.held_digests.remote()
        return self._contents


@dataclass
class _Entry:
    """A blob in shared memory, and the nodes that hold a copy.

    As long as the cache holds `ref`, Ray's reference count keeps the bytes alive. After eviction they are freed once no
    env runner uses them any more.
    """

    ref: ObjectRef
    size: int
    nodes: set[str] = field(default_factory=set)


@dataclass
class _Answer:
    """An actor's answer: the blob or the error, and the traffic of the request.

    blob: [reference] if shared (in a list, because Ray resolves a bare reference before delivery), else the bytes.
    """

    blob: Any
    error: Exception | None
    traffic: Traffic


class _RackCache:
    """The actor of a rack. Ray calls its methods from several threads."""

    def __init__(self, store: Store, capacity_bytes: int) -> None:
        self._store = store
        self._node = ray.get_runtime_context().get_node_id()
        self._cache: Cache[_Entry] = Cache(self._fetch, capacity_bytes)
        # digest -> traffic of its fetch; popped once, by the thread that fetched or the first that sees its error
        self._fetched: dict[str, Traffic] = {}
        # (monotonic time until which the store counts as down, the exception to raise); replaced as a whole, so that
        # threads never see half of an update
        self._store_failure: tuple[float, OSError | None] = 0.0, None
        self._last_request: dict[str, float] = {}  # env runner -> monotonic time

    def get(self, digest: str, node: str, runner: str, in_use: Sequence[str], shared: bool) -> _Answer:
        """Return a blob for an env runner on `node`, which plays the digests `in_use` now."""
        self._pin(runner, in_use)
        traffic = Traffic()
        try:
            entry, hit = self._cache.get(digest)
        except FETCH_ERRORS as error:
            traffic.accumulate(self._fetched.pop(digest, Traffic()))
            return _Answer(None, error, traffic)
        traffic.accumulate(Traffic() if hit else self._fetched.pop(digest, Traffic()))
        traffic.hits = int(hit)
        # A shared blob crosses the link once per node, an unshared one with each request; neither to its own node.
        if node not in entry.nodes or not shared:
            entry.nodes.add(node)
            if node != self._node:
                traffic.record_transfer(RACK_TO_NODE, entry.size)
        return _Answer([entry.ref] if shared else ray.get(entry.ref), None, traffic)

    def drop(self, digest: str) -> None:
        """Remove a blob whose bytes an env runner found corrupt."""
        self._cache.drop(digest)

    def held_bytes(self) -> int:
        """Return the bytes in the cache."""
        return int(self._cache.size)

    def held_digests(self) -> list[str]:
        """Return the digests in the cache."""
        return self._cache.digests()

    def node_and_pid(self) -> tuple[str, int]:
        """Return the id of the actor's node, and its process id."""
        return self._node, os.getpid()

    def _pin(self, runner: str, in_use: Sequence[str]) -> None:
        """Pin what an env runner plays; release the pins of env runners that have stopped sending requests."""
        now = time.monotonic()
        self._last_request[runner] = now
        self._cache.pin(runner, in_use)
        # A copy of the items, because other threads may insert meanwhile.
        for other, last in list(self._last_request.items()):
            if now - last > RUNNER_TIMEOUT_S:
                self._cache.pin(other, ())
                self._last_request.pop(other, None)

    def _fetch(self, digest: str) -> tuple[_Entry, int]:
        traffic = self._fetched[digest] = Traffic()
        until, failure = self._store_failure
        if failure is not None and time.monotonic() < until:
            raise failure.with_traceback(None)
        try:
            data = fetch(self._store, digest, traffic, STORE_TO_RACK)
        except OSError as error:
            self._store_failure = time.monotonic() + STORE_PAUSE_S, error
            raise
        self._store_failure = 0.0, None
        # As an array, which readers map without a copy (Ray copies bytes objects). The view of `data` is read-only.
        return _Entry(ray.put(np.frombuffer(data, np.uint8)), len(data), {self._node}), len(data)


class RackReader:
    """A reader that requests blobs from the rack's actor, and reads the store if `actor` is None or unavailable."""

    def __init__(
        self, store: Store, actor: Any, timeout_s: float, shared: bool, pause_s: float = RETRY_PAUSE_S, rack: str = ""
    ) -> None:
        self.rack = rack
        self._direct = DirectReader(store, pause_s)
        self.traffic = self._direct.traffic  # one object: bypassed requests are counted in it too
        self._actor = actor
        self._timeout_s = timeout_s
        self._shared = shared
        self._pause_s = pause_s
        self._node = ray.get_runtime_context().get_node_id()
        self._runner = uuid.uuid4().hex
        self._bypass_until = 0.0
        # digest -> (monotonic time until which requests are refused, the exception to raise)
        self._failed: dict[str, tuple[float, Exception]] = {}

    def get(self, digest: str, in_use: Iterable[str] = ()) -> Buffer:
        began = time.monotonic()
        # 1. What failed a moment ago fails again at once, and matches go on without it.
        until, error = self._failed.get(digest, (began, None))
        if error is not None and began < until:
            raise error.with_traceback(None)
        # 2. From the rack's cache; if that is not available, from the store.
        if self._actor is None or began < self._bypass_until:
            return self._bypass(digest)
        try:
            answer = self._request(digest, list(in_use))
        except RayError as problem:
            self._bypass_until = time.monotonic() + self._pause_s
            line = str(problem).partition("\n")[0]
            logger.warning("the cache of this rack is unavailable, reading the store for now: %s", line)
            return self._bypass(digest)
        if answer is None:  # only corrupt bytes: fetch from the store instead
            return self._bypass(digest)
        # 3. Count the answer. Bypassed requests are counted by the direct reader.
        self.traffic.requests += 1
        self.traffic.seconds += time.monotonic() - began
        if isinstance(answer, Exception):
            self.traffic.failed += 1
            self._failed[digest] = time.monotonic() + self._pause_s, answer
            logger.warning("cannot fetch snapshot %s, matches go on without it: %s", digest[:12], answer)
            raise answer
        self.traffic.record_transfer(NODE_TO_RUNNER, len(answer))
        return answer

    def _request(self, digest: str, in_use: list[str]) -> memoryview | Exception | None:
        """Return the verified bytes from the actor, or its error, or None if the bytes were corrupt twice."""
        for _ in range(2):
            request = self._actor.get.remote(digest, self._node, self._runner, in_use, self._shared)
            answer: _Answer = ray.get(request, timeout=self._timeout_s)
            self.traffic.accumulate(answer.traffic)
            if answer.error is not None:
                return answer.error
            blob: Any = ray.get(answer.blob[0], timeout=self._timeout_s) if self._shared else np.array(answer.blob)
            # The array maps shared memory, which Ray makes read-only; an unshared blob is a private copy.
            if digest_of(blob) == digest:
                return memoryview(blob)
            self.traffic.corrupt += 1
            logger.error("the rack's cache returned corrupt bytes for %s: dropped there and fetched again", digest)
            ray.get(self._actor.drop.remote(digest), timeout=self._timeout_s)
        return None

    def _bypass(self, digest: str) -> Buffer:
        """Read the store instead of the rack's cache."""
        self.traffic.bypassed += 1
        return self._direct.get(digest)
