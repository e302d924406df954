"""What a run refers to in its store: its pool now, and whatever its checkpoints may need."""

import os
import time

import pytest

from marl_app.runs.references import checkpoint_digests, write_run_references
from marl_app.store.disk import DiskStore
from marl_app.store.garbage import find_garbage
from tests.runs.states import snapshot_json, state_json, trainee_json, write_state

DAY = 86_400.0


def write_checkpoint(run, iteration, digests, initial=""):
    folder = run / "checkpoints" / f"checkpoint-{iteration:08d}"
    snapshots = [snapshot_json(f"main@{number:04d}", digest) for number, digest in enumerate(digests)]
    trainees = {"main": trainee_json(), "exploiter": trainee_json(initial=initial)}
    write_state(folder, state_json({"snapshots": snapshots}, trainees=trainees))
    return folder


def test_all_checkpoints_count_and_a_damaged_one_raises(tmp_path):
    assert checkpoint_digests(tmp_path) == set()
    write_checkpoint(tmp_path, 1, ["a", "b"])
    second = write_checkpoint(tmp_path, 2, ["b", "c"], initial="d")  # a learner may be reset to d
    assert checkpoint_digests(tmp_path) == {"a", "b", "c", "d"}
    (second / "state.json").write_text('{"league": {"snap')
    with pytest.raises(ValueError, match=r"checkpoint-00000002.* damaged"):
        checkpoint_digests(tmp_path)
    (second / "state.json").unlink()
    with pytest.raises(ValueError, match="has no state.json"):
        checkpoint_digests(tmp_path)


def test_a_run_references_what_its_league_and_its_checkpoints_need(tmp_path):
    store = DiskStore(tmp_path / "snapshots")
    digests = [store.put(data) for data in (b"in a checkpoint", b"in the league", b"in neither")]
    for digest in digests:  # two days old: garbage, unless it is referenced
        os.utime(store.path / digest, (time.time() - 2 * DAY,) * 2)
    torn = write_checkpoint(tmp_path, 1, digests[:1])
    write_run_references(store, tmp_path, [digests[1]])
    assert find_garbage(store, time.time(), DAY).digests == (digests[2],)
    (torn / "state.json").unlink()  # its earlier references stay
    write_run_references(store, tmp_path, [digests[2]])
    assert find_garbage(store, time.time(), DAY).digests == ()
