"""The data plane of whole runs: a store server that stops and comes back, and a rack's cache."""

import time

import pytest
from omegaconf import OmegaConf

from marl_app import load_agent
from marl_app.config.compose import compose_job
from marl_app.rllib.training.checkpoint import save_checkpoint
from marl_app.runs.references import write_run_references
from marl_app.store.store import FACTS, REFERENCES
from tests.rllib.runs import SMALL, running
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
        assert algorithm.counters.failures == 0  # an opponent that cannot be fetched is no failure of the env runner
        assert algorithm.store.queued >= 2 and algorithm.report["snapshots/queued"] >= 2
        write_run_references(algorithm.store, tmp_path, [one.digest for one in algorithm.league.snapshots])

        server.start()
        deadline = time.monotonic() + 60
        while algorithm.store.queued or algorithm.store._thread is not None:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        # The server keeps nothing across a restart; it now holds all that was published while it was away.
        server_store = algorithm.store.store
        published = {one.digest: one.player.id for one in algorithm.league.snapshots[pool:]}
        assert set(server_store.list()) >= set(published)
        assert {digest: server_store.notes(FACTS)[digest]["player"] for digest in published} == published
        [needed] = server_store.notes(REFERENCES).values()
        assert set(published) <= set(needed["digests"]) and needed["who"] == str(tmp_path)
        # load_agent finds them with nothing but the run's directory.
        save_checkpoint(algorithm, tmp_path / "checkpoints", keep=1)
        (tmp_path / ".hydra").mkdir()
        OmegaConf.save(compose_job([*SMALL, *store, *one]), tmp_path / ".hydra" / "config.yaml")
        for player in published.values():
            assert load_agent(tmp_path, player).metadata["player"] == player
    server.stop()


def test_opponents_come_through_the_cache_of_the_rack(tmp_path):
    overrides = ("cache=rack", "cache.capacity_bytes=1_000_000", "runtime.num_env_runners=1", "runtime.prefetch=true")
    overrides += ("league.placement_tolerance=0.2", "runtime.opponent_slots=1")
    with running(tmp_path, *overrides, "env=rock_paper_scissors", "league.schedule.agent_steps=600") as algorithm:
        while algorithm.traffic.requests < 2:
            algorithm.train()
        traffic = algorithm.traffic
        assert traffic.count["store_to_rack"] == traffic.count["node_to_runner"] == traffic.requests
        assert not (traffic.bypassed or traffic.failed or traffic.corrupt or traffic.count["store_to_runner"])
        assert "snapshots/store_to_rack/bytes" in algorithm.report
        assert "snapshots/store_to_runner/bytes" not in algorithm.report

        # Placement uses the rack's cache: it holds more snapshots than an env runner with one slot.
        deadline = time.monotonic() + 120
        while len(held := algorithm._assigner.resident(1)) < 3:
            assert time.monotonic() < deadline
            algorithm.train()
        assert held <= {snapshot.digest for snapshot in algorithm.league.snapshots}
        while not algorithm.assigned.distortion:
            assert time.monotonic() < deadline
            algorithm.train()
        assert algorithm.assigned.means()["distortion"] < 0.2
