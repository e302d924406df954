"""The real part of the stress test: Ray nodes in racks on this machine, a real store, real bytes.

Processes handle snapshots as env runners do (fetch an opponent, read its weights, release it for the next one). They
play some matches under each design, and report the traffic and their private memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from marl_app.config.errors import ConfigError
from marl_app.planning.cold import cold_start_bytes
from marl_app.planning.opponents import Opponents
from marl_app.planning.rows import Row
from marl_app.planning.traffic import DESIGNS, RACK_CACHE, STORE
from marl_app.run import NAMESPACE
from marl_app.store.codec import decode_views, encode
from marl_app.store.memory import private_bytes
from marl_app.store.rack_caches import RackCaches
from marl_app.store.reader import CacheOption, Direct
from marl_app.store.store import Store
from marl_app.store.traffic import RACK_TO_NODE, STORE_TO_RACK, STORE_TO_RUNNER, Traffic

RACK = "rack"
SPARE = 1.5  # size of Ray's object store, relative to the largest content of the caches


@dataclass(frozen=True)
class Case:
    """The size of one measurement."""

    actors: int
    pool: int
    snapshot_bytes: int

    def memory_bytes(self, design: str) -> int:
        """Return the memory for snapshots that a design needs: in all processes (a), or once in shared memory."""
        return self.snapshot_bytes * self.pool * (self.actors if design == "a" else 1)


@dataclass(frozen=True)
class DesignMeasurement:
    """The measurement of one design in one case.

    bytes, planned: measured and planned bytes out of the store and out of the racks' caches. private, most_private:
    mean and maximum of a process's private memory in bytes. note: the reason if the case was left out, else "".
    """

    design: str
    case: Case
    bytes: dict[str, int]
    planned: dict[str, float]
    hit_rate: float = 0.0
    private: float = 0.0
    most_private: float = 0.0
    seconds: float = 0.0
    note: str = ""

    def rows(self) -> Iterator[Row]:
        """Yield the measurement as rows of stress.json and stress.csv."""
        case = self.case
        note = f"{case.actors} processes, pool of {case.pool}, {case.snapshot_bytes:,} B each"
        if self.note:
            yield Row("real: left out", float("nan"), "", self.design, note=f"{note}: {self.note}")
            return
        for link, moved in self.bytes.items():
            yield Row("real: bytes", moved, "B", self.design, link, note=note)
            yield Row("real: bytes, planned", self.planned[link], "B", self.design, link, note=note)
        yield Row("real: hit rate", self.hit_rate, "share", self.design, note=note)
        yield Row("real: private memory per process, mean", self.private, "B", self.design, note=note)
        yield Row("real: private memory per process, most", self.most_private, "B", self.design, note=note)
        yield Row("real: seconds", self.seconds, "s", self.design, note=note)


class StressPlayer:
    """A process that fetches opponents as an env runner does."""

    def begin(self, option: CacheOption, store: Store) -> None:
        """Release all opponents, and measure the memory before the next design."""
        self._held: dict[str, Any] = {}  # digest -> weights
        gc.collect()
        # Return freed memory to the system, else a reuse of it would not show as growth. Only glibc has malloc_trim.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        self._reader = option.reader(store)
        self._before = private_bytes()

    def pull(self, pool: list[str]) -> None:
        """Fetch and hold the whole pool (design a)."""
        for digest in pool:
            self._load(digest)

    def play(self, matches: list[str | None]) -> None:
        """Play matches with one opponent at a time; None is self-play."""
        for digest in matches:
            if digest is not None and digest not in self._held:
                self._held.clear()
                self._load(digest)

    def end(self) -> tuple[Traffic, int]:
        """Return the traffic, and the growth of private memory in bytes since `begin`."""
        return self._reader.traffic.pop_totals(), max(0, private_bytes() - self._before)

    def _load(self, digest: str) -> None:
        """Fetch a snapshot and read all of its weights."""
        weights, _ = decode_views(self._reader.get(digest, list(self._held)))
        for array in weights.values():
            array.sum()  # reads every page of memory, as a forward pass does
        self._held[digest] = weights


def measure_designs(
    store: Store,
    cases: list[Case],
    picked: Callable[[int], Opponents],
    nodes: int,
    racks: int,
    matches: int,
    memory_bytes: float,
    rng: np.random.Generator,
) -> list[DesignMeasurement]:
    """Measure all designs in all cases. `picked`: pool size -> the matchmaker's opponents.

    Raises ConfigError if Ray is already running in this process.
    """
    if ray.is_initialized():
        raise ConfigError(
            "task.parts: the real part starts Ray nodes, but Ray is already running: give task.parts=[simulated]"
        )
    # Ray's object store must have room for the largest case that is not left out.
    largest = max((case.memory_bytes("d") for case in cases if case.memory_bytes("d") <= memory_bytes), default=0)
    found = []
    with _cluster(nodes, racks, max(100_000_000, int(SPARE * largest))) as node_ids:
        # No CPU is reserved: the processes of all cases share this machine, round robin over the nodes.
        actor = ray.remote(num_cpus=0)(StressPlayer)
        where = [NodeAffinitySchedulingStrategy(node_id, soft=False) for node_id in node_ids]
        count = max(case.actors for case in cases)
        players = [actor.options(scheduling_strategy=where[i % nodes]).remote() for i in range(count)]
        for snapshot_bytes in dict.fromkeys(case.snapshot_bytes for case in cases):
            same_size = [case for case in cases if case.snapshot_bytes == snapshot_bytes]
            # Snapshots are made only for the pools that fit into memory, and deleted before the next size.
            fitting = [case.pool for case in same_size if case.memory_bytes("d") <= memory_bytes]
            digests = [_publish(store, snapshot_bytes, number, rng) for number in range(max(fitting, default=0))]
            for case in same_size:
                opponents = picked(case.pool)
                # All designs play the same matches.
                plays = _matches(opponents, digests[: case.pool], case.actors, matches, rng)
                for design in DESIGNS:
                    planned = cold_start_bytes(
                        design, opponents, case.snapshot_bytes, case.actors, nodes, racks, matches
                    )
                    if case.memory_bytes(design) > memory_bytes:
                        note = f"needs {case.memory_bytes(design) / 1e9:.1f} GB of memory (task.real_memory_bytes)"
                        found.append(DesignMeasurement(design, case, {}, planned, note=note))
                    else:
                        pool = digests[: case.pool]
                        found.append(_run(design, case, store, players[: case.actors], pool, plays, planned))
            for digest in digests:
                store.delete(digest)
    return found


def _run(
    design: str,
    case: Case,
    store: Store,
    players: list[Any],
    pool: list[str],
    plays: list[list[str | None]],
    planned: dict[str, float],
) -> DesignMeasurement:
    """Play the matches of one case under one design."""
    option: CacheOption = Direct()
    if design in "cd":
        # Large enough for the whole pool and its headers, so that nothing is evicted.
        option = RackCaches(case.memory_bytes("d") + 1_000_000, RACK, timeout_s=120, shared=design == "d")
    # The actors of the caches live as long as these handles.
    caches = option.start(store)
    ray.get([player.begin.remote(option, store) for player in players])
    began = time.monotonic()
    # Design a fetches the whole pool before its matches, which then fetch nothing.
    if design == "a":
        ray.get([player.pull.remote(pool) for player in players])
    ray.get([player.play.remote(matches) for player, matches in zip(players, plays, strict=True)])
    seconds = time.monotonic() - began
    ends = ray.get([player.end.remote() for player in players])
    for cache in caches or ():
        ray.kill(cache)
    traffic = Traffic.sum(part for part, _ in ends)
    private = [memory for _, memory in ends]
    return DesignMeasurement(
        design,
        case,
        {
            # Bytes that leave the store, for an env runner or for a rack's cache.
            STORE: traffic.bytes[STORE_TO_RUNNER] + traffic.bytes[STORE_TO_RACK],
            RACK_CACHE: traffic.bytes[RACK_TO_NODE],
        },
        planned,
        traffic.hits / max(1, traffic.requests),
        float(np.mean(private)),
        float(max(private)),
        seconds,
    )


def _publish(store: Store, snapshot_bytes: int, number: int, rng: np.random.Generator) -> str:
    """Publish a snapshot of random weights with about `snapshot_bytes` bytes; return its digest."""
    # float32; the header takes about 200 bytes, the size of 50 weights
    weights = rng.random(max(1, snapshot_bytes // 4 - 50), np.float32)
    return store.put(encode({"player/weights": weights}, {"player": f"main@{number:04d}"}))


def _matches(
    picked: Opponents, digests: list[str], actors: int, matches: int, rng: np.random.Generator
) -> list[list[str | None]]:
    """Draw the opponents of each process, [actors][matches]; None = self-play. `digests` begins with the oldest."""
    newest_first = digests[::-1]
    return [
        [
            newest_first[int(rng.choice(len(picked.ages), p=picked.ages))]
            if newest_first and rng.random() < picked.share
            else None
            for _ in range(matches)
        ]
        for _ in range(actors)
    ]


@contextmanager
def _cluster(nodes: int, racks: int, object_store_bytes: int) -> Iterator[list[str]]:
    """Start Ray nodes on this machine, spread evenly over racks; yield their ids."""
    for name in ("ray", "ray.cluster_utils"):
        logging.getLogger(name).setLevel(logging.ERROR)

    def settings(number: int) -> dict[str, Any]:
        # The same number of successive nodes for each rack.
        labels = {RACK: f"r{number * racks // nodes}"}
        return {"num_cpus": 1, "object_store_memory": object_store_bytes, "labels": labels}

    cluster = Cluster(initialize_head=True, head_node_args={**settings(0), "include_dashboard": False})
    try:
        for number in range(1, nodes):
            cluster.add_node(**settings(number))
        ray.init(address=cluster.address, namespace=NAMESPACE, logging_level=logging.ERROR, log_to_driver=False)
        cluster.wait_for_nodes()
        yield [node["NodeID"] for node in ray.nodes()]
    finally:
        ray.shutdown()
        cluster.shutdown()
