"""A rack's cache larger than Ray's shared memory, while the disk that Ray spills to is full as well."""

import logging
import os
import subprocess
import time

import pytest
import ray

from marl_app.store.disk import DiskStore
from marl_app.store.rack_caches import RackCaches
from marl_app.store.store import digest_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
MB = 1_000_000


class Runner:
    """The snapshot handling of an env runner that plays one opponent at a time."""

    def __init__(self, option, store):
        self.reader = option.reader(store)
        self.reader._pause_s = 0.5

    def get(self, digest):
        self.held = self.reader.get(digest, [])
        return digest_of(self.held), self.reader.traffic.pop_totals()


def test_env_runners_bypass_the_full_cache(tmp_path):
    if ray.is_initialized():
        pytest.skip("this test starts its own Ray: run the file alone")
    spill = tmp_path / "spill"
    spill.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", str(spill)], capture_output=True).returncode:
        pytest.skip("mounting is not permitted")
    logging.getLogger("ray").setLevel(logging.ERROR)
    memory = {"object_store_memory": 80 * MB, "object_spilling_directory": str(spill)}
    try:
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False,
            **memory,
        )  # fmt: skip
        store = DiskStore(tmp_path / "store")
        blobs = [store.put(os.urandom(10 * MB)) for _ in range(20)]
        option = RackCaches(1000 * MB, "rack", timeout_s=20)
        [cache] = option.start(store)
        runner = ray.remote(num_cpus=0)(Runner).remote(option, store)
        bypassed = 0
        for blob in blobs:
            digest, traffic = ray.get(runner.get.remote(blob))
            assert digest == blob and not traffic.failed
            bypassed += traffic.bypassed
        # 80 MB of shared memory and 30 MB of disk hold some of the 200 MB; the rest was read from the store.
        held = ray.get(cache.held_bytes.remote())
        print(f"held {held // MB} MB, {bypassed} of {len(blobs)} bypassed the cache")
        assert 0 < held < 200 * MB and bypassed > 0
        time.sleep(0.5)
        digest, traffic = ray.get(runner.get.remote(blobs[0]))
        assert digest == blobs[0] and traffic.hits == 1  # cached blobs are still served
    finally:
        ray.shutdown()
        subprocess.run(["umount", "-l", str(spill)], check=True)
