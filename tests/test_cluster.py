"""`runtime=cluster`: errors within seconds, warnings, the files for Kubernetes, and a run with changing nodes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import ray
import yaml
from ray.cluster_utils import Cluster

from marl_app.cluster import cluster_warnings, join_cluster, nodes_without_folder
from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.store.disk import DiskStore

ROOT = Path(__file__).resolve().parents[1]
FILES = ROOT / "docs" / "cluster"


def test_settings_of_runtime_cluster():
    config = load(["+experiment=league", "runtime=cluster"])
    assert config.runtime.address == "auto" and config.runtime.opponent_slots == 1
    assert config.cache["_target_"].endswith("RackCaches")
    assert load(["runtime=cluster", "cache=direct"]).cache["_target_"].endswith("Direct")
    # The cores of the driver's machine do not limit a cluster.
    assert load(["runtime=cluster", "runtime.num_env_runners=64", "algorithm.train_batch_size_per_learner=8192"])
    with pytest.raises(ConfigError, match="runtime.num_cpus=4 is for a Ray that the run starts"):
        load(["runtime=cluster", "runtime.num_cpus=4"])


@pytest.mark.parametrize("address", ["closed", "ray://10.0.0.1:10001", "http://127.0.0.1:8265", "somewhere", ":6379"])
def test_an_unreachable_cluster_is_an_error_within_seconds(tmp_path, monkeypatch, address):
    with socket.socket() as free:  # bound, but not listening
        free.bind(("127.0.0.1", 0))
        if address == "closed":
            address = f"127.0.0.1:{free.getsockname()[1]}"
        began = time.monotonic()
        for override in ("runtime.address=auto", f"runtime.address='{address}'"):
            monkeypatch.setenv("RAY_ADDRESS", address)
            config = load(["runtime=cluster", override], output_dir=str(tmp_path))
            with pytest.raises(ConfigError, match=re.escape(override.replace("'", ""))) as refused:
                join_cluster(config)
            assert address in str(refused.value)
        assert time.monotonic() - began < 15  # Ray itself would try for minutes


def test_a_cluster_that_nobody_named_is_not_joined(tmp_path, monkeypatch):
    # Ray itself would join whatever runs on this machine.
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match="runtime.address=auto: no cluster is named"):
        join_cluster(load(["runtime=cluster"], output_dir=str(tmp_path)))


def test_a_run_directory_that_is_deleted_with_the_job_is_refused(tmp_path):
    config = load(["runtime=cluster"], output_dir=str(tmp_path / "_ray_pkg_0123" / "runs" / "league"))
    with pytest.raises(ConfigError, match="hydra.run.dir.*MARL_RUNS"):
        join_cluster(config)


@pytest.mark.usefixtures("ray_here")
def test_warnings_of_missing_cpus_and_a_missing_folder(tmp_path):
    """The session's Ray has one node with four CPUs."""
    fits = ("runtime=cluster", "runtime.num_env_runners=4")
    assert nodes_without_folder(str(tmp_path)) == []
    assert cluster_warnings(load([*fits, f"store.path={tmp_path}"])) == []
    assert cluster_warnings(load([*fits, "store=object_store", "store.url=s3://b/c"])) == []
    nowhere = tmp_path / "nowhere"  # as on a node that does not share the folder
    [room, folder] = cluster_warnings(load(["runtime=cluster", "runtime.num_learners=1", f"store.path={nowhere}"]))
    assert "9 CPUs are needed, and the cluster has 4;" in room
    assert f"store.path={nowhere} is not on 1 of 1 nodes" in folder and "store=object_store" in folder


def test_the_files_for_kubernetes_name_the_locked_version_of_ray():
    [locked] = re.findall(r"^ray==(.*)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked == ray.__version__
    job = yaml.safe_load((FILES / "ray_job.yaml").read_text())
    cluster = job["spec"]["rayClusterSpec"]
    assert (job["apiVersion"], job["kind"], cluster["rayVersion"]) == ("ray.io/v1", "RayJob", locked)
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    images = {container["image"] for group in groups for container in group["template"]["spec"]["containers"]}
    assert images == {f"REGISTRY/marl_app:ray-{locked}"}
    assert f"marl_app:ray-{locked} " in (FILES / "Dockerfile").read_text()
    assert [group["labels"] for group in cluster["workerGroupSpecs"]] == [{"rack": "a"}, {"rack": "b"}]
    # The app accepts its command.
    command = job["spec"]["entrypoint"].split()
    assert command[:3] == ["sh", "/app/docs/cluster/start_or_resume.sh", "/shared/runs/league"]
    config = load([override for override in command[3:] if override != "store=object_store"][:4])
    assert config.runtime.num_env_runners == 24 and "store.url=s3://BUCKET/league" in command


def lines(folder):
    file = folder / "progress.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def env_runners(node):
    """Return the number of env runner processes on a node."""
    [raylet] = node.all_processes["raylet"]
    found = 0
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            found += parent == raylet.process.pid and b"MatchEnvRunner" in (entry / "cmdline").read_bytes()
        except (OSError, ValueError):
            continue
    return found


@pytest.mark.timeout(300)
def test_a_run_survives_a_lost_node_and_uses_a_new_one(tmp_path):
    """Two env runners on two nodes of one core, in two racks; the driver is on a third node. One node is killed: the
    other env runner continues alone, and the lost one restarts on a node that joins."""
    size = {"object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "num_cpus": 0, "include_dashboard": False})
    process = None
    try:
        stays, lost = (cluster.add_node(**size, num_cpus=1, labels={"rack": rack}) for rack in ("a", "b"))
        folder = tmp_path / "run"
        process = subprocess.Popen(
            [sys.executable, "-m", "marl_app", "+experiment=league", "runtime=cluster", "env=rock_paper_scissors",
             "runtime.num_env_runners=2", "runtime.num_envs_per_env_runner=32", "model.hidden=[16]",
             "algorithm.train_batch_size_per_learner=1024", "algorithm.minibatch_size=512", "stop.minutes=null",
             "league.schedule.agent_steps=4000", "cache.capacity_bytes=1_000_000", "checkpoint.every_seconds=5",
             "evaluation.anchors=[]", f"hydra.run.dir={folder}"],
            cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", "RAY_ADDRESS": cluster.address}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

        def wait_for(what, seconds=120):
            began = time.monotonic()
            while not what():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() - began < seconds
                time.sleep(0.1)
            return time.monotonic() - began

        def iteration():
            return len(lines(folder))

        wait_for(lambda: any(line.get("snapshots/node_to_runner/count") for line in lines(folder)))
        assert [env_runners(node) for node in (stays, lost)] == [1, 1]

        cluster.remove_node(lost, allow_graceful=False)
        at = iteration()
        paused = wait_for(lambda: iteration() > at + 10)
        alone = iteration()
        assert lines(folder)[-1]["health/env_runner_restarts"] == 0  # no node has room for it

        joined = cluster.add_node(**size, num_cpus=1, labels={"rack": "b"})
        back = wait_for(lambda: lines(folder)[-1]["health/env_runner_restarts"] == 1)
        assert [env_runners(node) for node in (stays, joined)] == [1, 1]
        at = iteration()
        wait_for(lambda: iteration() > at + 5)
        print(f"{paused:.1f} s until ten iterations after the loss (the {alone}th); back after {back:.1f} s")
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130 and "Traceback" not in err, err[-3000:]
    finally:
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()  # closes its pipes
        cluster.shutdown()

    # No match was lost or recorded twice: iterations, steps and matches equal those of league and counters.
    state, progress = (
        latest_checkpoint(folder / "checkpoints").state.to_json(),
        pd.read_json(folder / "progress.jsonl", lines=True),
    )
    matches = pd.read_parquet(folder / "matches")
    iterations = list(range(1, state["iteration"] + 1))
    assert progress.iteration.iloc[-1] == iterations[-1] and iterations == sorted(matches.iteration.unique())
    assert progress["steps/env_steps"].iloc[-1] == state["counters"]["env_steps"] == 1024 * len(iterations)
    assert matches[["wins", "draws", "losses"]].to_numpy().sum() == state["league"]["matches"]
    store, pool = DiskStore(folder / "snapshots"), state["league"]["snapshots"]
    assert [entry["player"] for entry in pool] == [f"main@{number:04d}" for number in range(len(pool))]
    assert all(store.get(entry["digest"]) for entry in pool)
