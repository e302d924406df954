"""A whole run with two env runners, a rack's cache and an S3 server, through one fault after the other."""

import os
import signal
import time

import obstore
import pytest
import ray

from marl_app.store.store import FACTS
from tests.rllib.runs import matches, running
from tests.store.s3 import S3

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_here"), pytest.mark.timeout(600)]

OUTAGE_S = 30


def test_training_goes_on_and_every_fault_is_seen(tmp_path):
    server = S3()
    options = ", ".join(f"{name}: '{value}'" for name, value in server.options.items())
    store = ("store=object_store", f"store.url={server.url}", f"store.options={{{options}}}", "store.timeout_s=2")
    # The cache is too small for the pool, so that opponents are fetched from the store all the time.
    cache = ("cache=rack", "cache.capacity_bytes=10_000", "league/matchmaker=uniform", "runtime.opponent_slots=1")
    runners = ("runtime.num_env_runners=2", "runtime.env_runner_restart_delay_s=0", "runtime.pipeline=true")
    game = ("env=rock_paper_scissors", "league.schedule.agent_steps=20_000", "callbacks=[league,metrics,checkpoint]")
    reports = []
    with running(tmp_path, *store, *cache, *runners, *game, "store.retry_s=0.5") as algorithm:

        def train_until(what, seconds=150):
            began, slowest = time.monotonic(), 0.0
            while not what():
                assert time.monotonic() - began < seconds
                start = time.monotonic()
                algorithm.train()
                slowest = max(slowest, time.monotonic() - start)
                reports.append(algorithm.report)
            return time.monotonic() - began, slowest

        def report(fault, timing):
            print(f"{fault}: {timing[0]:.1f} s, slowest iteration {timing[1]:.1f} s; {algorithm.traffic}")

        traffic = algorithm.traffic
        report("begin", train_until(lambda: len(algorithm.league.snapshots) >= 5 and traffic.requests >= 20))
        assert not (traffic.corrupt or traffic.failed or traffic.bypassed or algorithm.counters.restarts)
        server_store = algorithm.store.store

        # A blob is corrupted in the store: it is not played until its bytes are correct again.
        corrupted = algorithm.league.snapshots[0].digest
        good = server_store.get(corrupted)
        obstore.put(server_store._client, corrupted, good[:-1] + bytes([good[-1] ^ 1]))
        report("corrupt", train_until(lambda: traffic.corrupt >= 3 and traffic.failed))
        obstore.put(server_store._client, corrupted, good)

        # An env runner is killed.
        victim, _ = algorithm.env_runner_group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False)
        os.kill(victim, signal.SIGKILL)
        report("env runner", train_until(lambda: algorithm.counters.restarts == 1))

        # The rack's cache is killed: env runners read the store until the cache is restarted.
        [actor] = algorithm._caches
        _, process = ray.get(actor.node_and_pid.remote())
        os.kill(process, signal.SIGKILL)
        bypassed = traffic.bypassed
        report("cache", train_until(lambda: traffic.bypassed > bypassed))
        before = traffic.count["store_to_rack"]
        report("cache back", train_until(lambda: traffic.count["store_to_rack"] > before + 5))
        assert ray.get(actor.node_and_pid.remote())[1] != process and ray.get(actor.held_bytes.remote()) > 0

        # The server is suspended with open connections and goes on after 30 s with its objects.
        failed, pool = traffic.failed, len(algorithm.league.snapshots)
        os.kill(server._process.pid, signal.SIGSTOP)
        until = time.monotonic() + OUTAGE_S
        report("store away", train_until(lambda: time.monotonic() > until))
        assert traffic.failed > failed and len(algorithm.league.snapshots) > pool and algorithm.store.queued > 0
        os.kill(server._process.pid, signal.SIGCONT)
        report("store back", train_until(lambda: not algorithm.store.queued and algorithm.store._thread is None))
        before = traffic.count["store_to_rack"]
        report("opponents back", train_until(lambda: traffic.count["store_to_rack"] > before + 5))

        # No published snapshot is missing in the store, and no match in the records.
        pool = {one.digest: one.player.id for one in algorithm.league.snapshots}
        facts = server_store.notes(FACTS)
        assert {digest: facts[digest]["player"] for digest in pool} == pool and len(pool) > 10
        assert all(server_store.get(digest) for digest in pool)
        algorithm.records.flush()
        table = matches(tmp_path)
        assert sorted(table.iteration.unique()) == list(range(1, algorithm.iteration + 1))
        assert table[["wins", "draws", "losses"]].to_numpy().sum() == algorithm.league.state_dict()["matches"]
        assert algorithm.counters.env_steps == 512 * algorithm.iteration and algorithm.counters.failures == 0
    for metric in ("snapshots/corrupt", "snapshots/failed", "snapshots/bypassed", "snapshots/queued"):
        assert max(report.get(metric, 0) for report in reports) > 0, metric
    assert reports[-1]["health/env_runner_restarts"] == 1
    server.stop()
