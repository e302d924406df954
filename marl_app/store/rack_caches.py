"""A cache in every rack of a Ray cluster, and one copy per node: the only file of the data plane that knows Ray.

A node label says which rack a node is in (`ray start --labels rack=r7`); nodes without it are one rack together. In
each rack an actor holds the blobs that were asked for last, in the shared memory of its node. An env runner asks the
actor of its rack and is given a reference; the first on its node that resolves it has Ray copy the bytes there, and all
others read that copy: the weights of large networks are played from it as they lie. So a snapshot crosses the store's
link once per rack and the rack's once per node.

An actor that dies, or whose node does, is started again in its rack by Ray, empty, and filled by what is asked for.
Meanwhile, and whatever else is wrong with it, env runners read the store. Bytes are checked against the digest when
they enter a rack and again by each env runner.
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
"""Requests that an actor works on at the same time; others wait their turn."""
STORE_PAUSE_S = 5.0
"""A store that does not answer is not asked for anything for so long: each request would wait for it anew."""
RUNNER_TIMEOUT_S = 900.0
"""An env runner that has not asked for so long may be gone: what it played need not be kept for it."""


class RackCaches:
    """A leaf of `conf/cache`, see `reader.CacheOption`.

    capacity_bytes: of each rack's cache. It lies in the shared memory of one node, so Ray's object store must have room
    for it (`ray start --object-store-memory`), or Ray writes to disk what does not fit.
    rack_label: the node label that names the rack.
    timeout_s: an actor that has not answered for so long is passed over.
    shared: False hands every env runner its own copy, to see what sharing is worth (`task=stress`).
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
        """One actor for each rack that has a node now. They live as long as their handles, which readers get with this
        object (looked up by name, they would depend on Ray loading the actor's class in every process)."""
        labels = [node.get("Labels", {}) for node in ray.nodes() if node["Alive"]]
        actor = ray.remote(num_cpus=0, max_restarts=-1, max_concurrency=MAX_CONCURRENT_REQUESTS)(_RackCache)
        for rack in sorted({label.get(self._rack_label, "") for label in labels}):
            where = {"label_selector": {self._rack_label: rack}} if rack else {}
            self._actors[rack] = actor.options(**where).remote(store, self._capacity_bytes)
        return list(self._actors.values())

    def reader(self, store: Store) -> RackReader:
        rack = ray.get_runtime_context().get_node_labels().get(self._rack_label, "")
        return RackReader(store, self._actors.get(rack), self._timeout_s, self._shared, rack=rack)

    def inventory(self) -> Inventory:
        return _Inventory(self._actors)


class _Inventory:
    """What the caches say they hold. One question to each is under way; who does not answer still holds what it did."""

    def __init__(self, actors: Mapping[str, Any]) -> None:
        self._actors = actors
        self._asked: dict[str, ObjectRef] = {}
        self._held: dict[str, frozenset[str]] = {}

    def __call__(self) -> Mapping[str, frozenset[str]]:
        for rack, actor in self._actors.items():
            question = self._asked.pop(rack, None)
            if question is not None:
                if not ray.wait([question], timeout=0)[0]:
                    self._asked[rack] = question
                    continue
                try:
                    self._held[rack] = frozenset(ray.get(question))
                except RayError:  # it died, and comes back empty
                    self._held.pop(rack, None)
            self._asked[rack] = actor.held_digests.remote()
        return self._held


@dataclass
class _Entry:
    """A blob in shared memory, and the nodes that have been given it."""

    ref: ObjectRef
    size: int
    nodes: set[str] = field(default_factory=set)


@dataclass
class _Answer:
    """What an actor answers: a reference (or, unshared, the bytes) or the error; and what that moved."""

    blob: Any
    error: Exception | None
    traffic: Traffic


class _RackCache:
    """The actor of a rack. Its methods are called by several threads."""

    def __init__(self, store: Store, capacity_bytes: int) -> None:
        self._store = store
        self._node = ray.get_runtime_context().get_node_id()
        self._cache: Cache[_Entry] = Cache(self._fetch, capacity_bytes)
        self._fetched: dict[str, Traffic] = {}
        self._away: tuple[float, OSError | None] = 0.0, None
        self._heard: dict[str, float] = {}  # when each env runner asked last

    def get(self, digest: str, node: str, runner: str, in_use: Sequence[str], shared: bool) -> _Answer:
        self._pin(runner, in_use)
        traffic = Traffic()
        try:
            entry, hit = self._cache.get(digest)
        except FETCH_ERRORS as error:
            traffic.accumulate(self._fetched.pop(digest, Traffic()))
            return _Answer(None, error, traffic)
        traffic.accumulate(Traffic() if hit else self._fetched.pop(digest, Traffic()))
        traffic.hits = int(hit)
        if node not in entry.nodes or not shared:
            entry.nodes.add(node)
            if node != self._node:
                traffic.record_transfer(RACK_TO_NODE, entry.size)
        return _Answer([entry.ref] if shared else ray.get(entry.ref), None, traffic)

    def drop(self, digest: str) -> None:
        self._cache.drop(digest)

    def held_bytes(self) -> int:
        return int(self._cache.size)

    def held_digests(self) -> list[str]:
        return self._cache.digests()

    def node_and_pid(self) -> tuple[str, int]:
        """Its node and process."""
        return self._node, os.getpid()

    def _pin(self, runner: str, in_use: Sequence[str]) -> None:
        """Keep what an env runner plays; forget what those play that are not heard of any more."""
        now = time.monotonic()
        self._heard[runner] = now
        self._cache.pin(runner, in_use)
        for other, heard in list(self._heard.items()):
            if now - heard > RUNNER_TIMEOUT_S:
                self._cache.pin(other, ())
                self._heard.pop(other, None)

    def _fetch(self, digest: str) -> tuple[_Entry, int]:
        traffic = self._fetched[digest] = Traffic()
        until, away = self._away
        if away is not None and time.monotonic() < until:
            raise away.with_traceback(None)
        try:
            data = fetch(self._store, digest, traffic, STORE_TO_RACK)
        except OSError as error:
            self._away = time.monotonic() + STORE_PAUSE_S, error
            raise
        self._away = 0.0, None
        # An array, which readers get without a copy (bytes are copied), put once.
        return _Entry(ray.put(np.frombuffer(data, np.uint8)), len(data), {self._node}), len(data)


class RackReader:
    """Satisfies `reader.Reader`: asks the actor of the rack (None: there is none), and the store where it cannot."""

    def __init__(
        self, store: Store, actor: Any, timeout_s: float, shared: bool, pause_s: float = RETRY_PAUSE_S, rack: str = ""
    ) -> None:
        self.rack = rack
        self._direct = DirectReader(store, pause_s)
        self.traffic = self._direct.traffic
        self._actor = actor
        self._timeout_s = timeout_s
        self._shared = shared
        self._pause_s = pause_s
        self._node = ray.get_runtime_context().get_node_id()
        self._runner = uuid.uuid4().hex
        self._without_until = 0.0
        self._failed: dict[str, tuple[float, Exception]] = {}

    def get(self, digest: str, in_use: Iterable[str] = ()) -> Buffer:
        began = time.monotonic()
        until, error = self._failed.get(digest, (began, None))
        if error is not None and began < until:
            raise error.with_traceback(None)
        if self._actor is None or began < self._without_until:
            return self._bypass(digest)
        try:
            answer = self._ask(digest, list(in_use))
        except RayError as problem:
            self._without_until = time.monotonic() + self._pause_s
            logger.warning("no cache in this rack, reading the store for now: %s", str(problem).partition("\n")[0])
            return self._bypass(digest)
        if answer is None:
            return self._bypass(digest)
        self.traffic.requests += 1
        self.traffic.seconds += time.monotonic() - began
        if isinstance(answer, Exception):
            self.traffic.failed += 1
            self._failed[digest] = time.monotonic() + self._pause_s, answer
            logger.warning("no snapshot %s for now, going on without it: %s", digest[:12], answer)
            raise answer
        self.traffic.record_transfer(NODE_TO_RUNNER, len(answer))
        return answer

    def _ask(self, digest: str, in_use: list[str]) -> memoryview | Exception | None:
        """What the actor has, verified; its error; or None if it has only corrupt bytes."""
        for _ in range(2):
            request = self._actor.get.remote(digest, self._node, self._runner, in_use, self._shared)
            answer: _Answer = ray.get(request, timeout=self._timeout_s)
            self.traffic.accumulate(answer.traffic)
            if answer.error is not None:
                return answer.error
            blob: Any = ray.get(answer.blob[0], timeout=self._timeout_s) if self._shared else np.array(answer.blob)
            if digest_of(blob) == digest:
                return memoryview(blob)
            self.traffic.corrupt += 1
            logger.error("the rack's cache gave other bytes than those of %s: dropped, and fetched again", digest)
            ray.get(self._actor.drop.remote(digest), timeout=self._timeout_s)
        return None

    def _bypass(self, digest: str) -> Buffer:
        self.traffic.bypassed += 1
        return self._direct.get(digest)
