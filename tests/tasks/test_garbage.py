"""`task=garbage` on a run directory: its output, what it deletes, and its errors."""

import json
import os
import time

import pytest

from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.run import run as run_task
from marl_app.store.disk import DiskStore
from marl_app.store.garbage import write_references
from tests.runs.states import snapshot_json, state_json


def collect(directory, *overrides):
    return run_task(load(["task=garbage", f"run={directory}", *overrides], output_dir=str(directory / "garbage")))


@pytest.fixture
def finished(tmp_path):
    """A run with five snapshots: one in a checkpoint, one referenced by another run, one young, two unreferenced."""
    store = DiskStore(tmp_path / "snapshots")
    digests = [store.put(name) for name in (b"mine", b"other run's", b"young", b"loose", b"loose too")]
    for digest in digests[:2] + digests[3:]:
        os.utime(store.path / digest, (time.time() - 200_000,) * 2)
    checkpoint = tmp_path / "checkpoints" / "checkpoint-00000001"
    checkpoint.mkdir(parents=True)
    state = state_json({"snapshots": [snapshot_json("main@0000", digests[0])]})
    (checkpoint / "state.json").write_text(json.dumps(state))
    write_references(store, "other", [digests[1]], "runs/other")
    (tmp_path / ".hydra").mkdir()
    leaf = "store: {_target_: marl_app.store.disk.DiskStore, path: '${output_dir}/snapshots'}\n"
    (tmp_path / ".hydra" / "config.yaml").write_text(leaf + "output_dir: ${hydra:runtime.output_dir}\n")
    return tmp_path, store, digests


def test_only_unreferenced_snapshots_are_deleted_and_only_with_task_delete(finished, capsys):
    run, store, digests = finished
    assert collect(run) == 2 and len(store.list()) == 5
    assert (
        "2 snapshots could be deleted (task.delete=true); 2 are referenced, 1 are too young" in capsys.readouterr().out
    )
    assert collect(run, "task.delete=true") == 2
    assert sorted(store.list()) == sorted(digests[:3])
    assert collect(run, "task.grace_s=100000") == 0


def test_errors(finished, tmp_path):
    run, store, _ = finished
    (run / "checkpoints" / "checkpoint-00000001" / "state.json").write_text("{")
    with pytest.raises(ConfigError, match=r"run: .*damaged"):
        collect(run, "task.delete=true")
    assert len(store.list()) == 5
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ConfigError, match="no run was started"):
        collect(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"task.grace_s=60.*>= 7200"):
        collect(run, "task.grace_s=60")
    with pytest.raises(ConfigError, match="run=null"):
        run_task(load(["task=garbage"], output_dir=str(tmp_path / "x")))
