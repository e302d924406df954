"""The node of a rack's cache is lost: the cache restarts on another node of the rack, and fills."""

import logging
import time

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from marl_app.store.disk import DiskStore
from marl_app.store.rack_caches import RackCaches

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Runner:
    def __init__(self, option, store):
        self.reader = option.reader(store)
        self.reader._pause_s = 1.0

    def get(self, digest):
        data = bytes(self.reader.get(digest, []))
        return data, self.reader.traffic.pop_totals()


def test_the_node_of_a_cache_is_lost(tmp_path):
    if ray.is_initialized():
        pytest.skip("this test starts its own cluster: run the file alone")
    logging.getLogger("ray").setLevel(logging.ERROR)
    size = {"object_store_memory": 80_000_000, "num_cpus": 1}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "labels": {"rack": "other"}})
    try:
        nodes = [cluster.add_node(**size, labels={"rack": "r1"}) for _ in range(2)]
        ray.init(address=cluster.address, logging_level=logging.ERROR, log_to_driver=False)
        store = DiskStore(tmp_path)
        blob = store.put(b"x" * 1_000_000)
        option = RackCaches(10_000_000, "rack", timeout_s=5)
        caches = option.start(store)
        assert len(caches) == 2  # one per rack
        r1 = option._actors["r1"]
        place, _ = ray.get(r1.node_and_pid.remote())
        lost = next(node for node in nodes if node.node_id == place)
        stays = next(node for node in nodes if node is not lost)
        runner = ray.remote(num_cpus=0)(Runner).options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(stays.node_id, soft=False)
        ).remote(option, store)  # fmt: skip
        assert [ray.get(runner.get.remote(blob))[1].hits for _ in range(2)] == [0, 1]
        cluster.remove_node(lost, allow_graceful=False)
        began = time.monotonic()
        while True:  # the bytes are right, from the store or the cache
            data, traffic = ray.get(runner.get.remote(blob))
            assert data == b"x" * 1_000_000
            if traffic.hits and ray.get(r1.node_and_pid.remote())[0] == stays.node_id:
                break
            assert time.monotonic() - began < 120
            time.sleep(0.5)
        print(f"back after {time.monotonic() - began:.0f} s")
        assert ray.get(r1.held_bytes.remote()) == 1_000_000
    finally:
        ray.shutdown()
        cluster.shutdown()
