"""A run whose store is a server, which really stops and comes back: training goes on, and nothing is lost."""

import time

import pytest

from marl_app.store.garbage import refer_for_run
from marl_app.store.store import FACTS, REFERENCES
from tests.rllib.runs import running
from tests.store.s3 import S3

pytestmark = [pytest.mark.usefixtures("ray_here"), pytest.mark.timeout(240)]


def test_training_goes_on_while_the_store_is_away(tmp_path):
    server = S3()
    options = ", ".join(f"{name}: '{value}'" for name, value in server.options.items())
    store = ("store=object_store", f"store.url={server.url}", f"store.options={{{options}}}", "store.retry_s=0.3")
    one = ("runtime.num_env_runners=1", "env=rock_paper_scissors", "league.schedule.agent_steps=600")
    with running(tmp_path, *store, *one) as algorithm:
        while not algorithm.traffic.count["store_to_runner"]:
            algorithm.train()
        assert algorithm.report["snapshots/store_to_runner/bytes"] > 0 and algorithm.report["snapshots/fetch_ms"] > 0
        assert algorithm.report["snapshots/slot_bytes"] > 0 and algorithm.report["snapshots/runner_private_bytes"] > 0
        pool = len(algorithm.league.snapshots)

        server.stop()
        iterations, steps = algorithm.iteration, algorithm.counters.env_steps
        while len(algorithm.league.snapshots) < pool + 3 or not algorithm.traffic.failed:
            algorithm.train()
        assert algorithm.counters.env_steps == steps + 512 * (algorithm.iteration - iterations)
        assert algorithm.counters.failures == 0  # what an opponent costs is not a failure of the env runner
        assert algorithm.store.queued >= 2 and algorithm.report["snapshots/queued"] >= 2
        refer_for_run(algorithm.store, tmp_path, [one.digest for one in algorithm.league.snapshots])

        server.start()
        deadline = time.monotonic() + 60
        while algorithm.store.queued or algorithm.store._thread is not None:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        # The server lost its memory: all that was published while it was away is there now.
        there = algorithm.store.store
        published = {one.digest: one.player.id for one in algorithm.league.snapshots[pool:]}
        assert set(there.list()) >= set(published)
        assert {digest: there.notes(FACTS)[digest]["player"] for digest in published} == published
        [needed] = there.notes(REFERENCES).values()
        assert set(published) <= set(needed["digests"]) and needed["who"] == str(tmp_path)
    server.stop()
