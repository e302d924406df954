"""The caches of a real Ray from the view of env runners: shared copies, corruption, kills, and a store that is down."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import ray

from marl_app.store.disk import DiskStore
from marl_app.store.rack_caches import STORE_PAUSE_S, RackCaches
from marl_app.store.store import digest_of
from marl_app.store.traffic import NODE_TO_RUNNER, STORE_TO_RACK, STORE_TO_RUNNER

pytestmark = [pytest.mark.usefixtures("ray_here"), pytest.mark.timeout(120)]
MB = 1_000_000


class Faulty(DiskStore):
    """A store that returns corrupt bytes once if the file `lies` exists, and raises while the file `down` exists."""

    def get(self, digest):
        if (self.path / "down").exists():
            raise OSError("the store is down")
        lies = self.path / "lies"
        if lies.exists():
            lies.unlink()
            return b"lie" + super().get(digest)[3:]
        return super().get(digest)


class Runner:
    """The snapshot handling of an env runner, in a separate process."""

    def __init__(self, option, store):
        self.reader = option.reader(store)
        self.reader._pause_s = self.reader._direct._pause_s = 0.5
        self.held = None

    def get(self, digest):
        self.held = self.reader.get(digest, [])
        return digest_of(self.held), self.reader.traffic.pop_totals()

    def address(self):
        """Return (inode, offset) of the bytes in the file of shared memory, and whether they are read-only."""
        where = np.frombuffer(self.held, np.uint8).__array_interface__["data"][0]
        for line in Path("/proc/self/maps").read_text().splitlines():
            ends, _, offset, _, inode, *_ = line.split()
            first, last = (int(end, 16) for end in ends.split("-"))
            if first <= where < last:
                return (inode, int(offset, 16) + where - first), self.held.readonly
        return None


def poll(inventory, until):
    """Call the inventory until its answer satisfies `until`; return that answer."""
    deadline = time.monotonic() + 60
    while not until(held := inventory()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return held


def test_a_rack_cache_through_faults(tmp_path):
    """One test, because processes are expensive."""
    store = Faulty(tmp_path)
    blobs = [store.put(os.urandom(2 * MB)) for _ in range(4)]
    option = RackCaches(capacity_bytes=5 * MB, rack_label="rack", timeout_s=20)
    [cache] = option.start(store)
    first_runner, second_runner = (ray.remote(num_cpus=0)(Runner).remote(option, store) for _ in range(2))

    # The first env runner fetches, the second shares: both map the same file of shared memory, read-only.
    digest, traffic = ray.get(first_runner.get.remote(blobs[0]))
    assert digest == blobs[0] and traffic.hits == 0
    assert (
        traffic.bytes[STORE_TO_RACK] == 2 * MB == traffic.bytes[NODE_TO_RUNNER] and traffic.count[STORE_TO_RUNNER] == 0
    )
    digest, traffic = ray.get(second_runner.get.remote(blobs[0]))
    assert digest == blobs[0] and traffic.hits == 1 and traffic.bytes[STORE_TO_RACK] == 0
    [(first, readonly), (second, _)] = ray.get([first_runner.address.remote(), second_runner.address.remote()])
    assert first == second and first[0] != "0" and readonly

    # Bounded: of four blobs of 2 MB, two fit into 5 MB.
    for blob in blobs:
        ray.get(first_runner.get.remote(blob))
    assert ray.get(cache.held_bytes.remote()) == 4 * MB

    # The inventory does not block: an answer arrives with a later call.
    inventory = option.inventory()
    assert poll(inventory, lambda held: held) == {"": frozenset(blobs[2:])}

    # Corrupt bytes in the rack are detected by the env runner, dropped from the cache, and fetched again.
    (tmp_path / "lies").touch()
    digest, traffic = ray.get(first_runner.get.remote(blobs[0]))
    assert digest == blobs[0] and traffic.corrupt == 1 and traffic.count[STORE_TO_RACK] == 2

    # The store is down: cached blobs are served, others fail until it is back.
    (tmp_path / "down").touch()
    assert ray.get(second_runner.get.remote(blobs[0]))[1].hits == 1
    with pytest.raises(OSError, match="the store is down"):
        ray.get(second_runner.get.remote(blobs[1]))
    (tmp_path / "down").unlink()
    time.sleep(STORE_PAUSE_S)
    assert ray.get(second_runner.get.remote(blobs[1]))[0] == blobs[1]

    # The cache is killed: env runners read the store until Ray has restarted it, empty; then it fills.
    _, pid = ray.get(cache.node_and_pid.remote())
    os.kill(pid, signal.SIGKILL)
    digest, traffic = ray.get(second_runner.get.remote(blobs[1]))
    assert digest == blobs[1] and traffic.bypassed == 1 == traffic.count[STORE_TO_RUNNER]
    deadline = time.monotonic() + 60
    while ray.get(second_runner.get.remote(blobs[1]))[1].bypassed:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert ray.get(cache.node_and_pid.remote())[1] != pid and ray.get(cache.held_bytes.remote()) == 2 * MB
    assert ray.get(first_runner.get.remote(blobs[1]))[1].hits == 1
    poll(inventory, lambda held: held == {"": frozenset([blobs[1]])})
    for actor in (first_runner, second_runner, cache):
        ray.kill(actor)


def test_invalid_capacities_are_refused():
    with pytest.raises(ValueError, match="cache.capacity_bytes=0"):
        RackCaches(0, "rack", 1.0)
