"""Blobs referenced by a league, a checkpoint or another run stay, and so do young blobs."""

import json
import os
import time

import pytest

from marl_app.store.disk import DiskStore
from marl_app.store.garbage import (
    MIN_GRACE_S,
    checkpoint_digests,
    find_garbage,
    reference_owner,
    write_references,
    write_run_references,
)

DAY = 86_400.0


@pytest.fixture
def store(tmp_path):
    return DiskStore(tmp_path / "snapshots")


def old(store, data):
    """A blob that was put two days ago."""
    digest = store.put(data)
    os.utime(store.path / digest, (time.time() - 2 * DAY,) * 2)
    return digest


def found(store, *also):
    return find_garbage(store, time.time(), DAY, also)


def test_only_old_unreferenced_blobs_are_garbage(store):
    mine, guest, shared, loose = (old(store, name) for name in (b"mine", b"guest", b"shared", b"loose"))
    young = store.put(b"young")
    write_references(store, "run_a", [mine, guest, shared], "runs/a")
    write_references(store, "run_b", [shared], "runs/b")
    assert found(store).digests == (loose,)
    assert (found(store).referred, found(store).young) == (3, 1)
    write_references(store, "run_a", [], "runs/a")  # replaces the references of the run
    assert set(found(store).digests) == {mine, guest, loose}
    assert found(store, mine, guest, loose).digests == ()
    assert young in store.list()


def test_a_blob_that_is_put_again_is_young_again(store):
    loose = old(store, b"loose")
    store.put(b"loose")
    assert found(store).digests == () and found(store).young == 1 and store.has(loose)


def test_too_short_a_grace_is_refused(store):
    with pytest.raises(ValueError, match="too short"):
        find_garbage(store, time.time(), MIN_GRACE_S - 1)


def write_checkpoint(run, iteration, digests, initial=""):
    folder = run / "checkpoints" / f"checkpoint-{iteration:08d}"
    folder.mkdir(parents=True)
    league = {"snapshots": [{"player": f"main@{i:04d}", "digest": d} for i, d in enumerate(digests)]}
    state = {"league": league, "trainees": {"main": {"initial": ""}, "exploiter": {"initial": initial}}}
    (folder / "state.json").write_text(json.dumps(state))
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


def test_a_run_references_what_its_league_and_its_checkpoints_need(store, tmp_path):
    digests = [old(store, name) for name in (b"in a checkpoint", b"in the league", b"in neither")]
    torn = write_checkpoint(tmp_path, 1, digests[:1])
    write_run_references(store, tmp_path, [digests[1]])
    assert found(store).digests == (digests[2],)
    (torn / "state.json").unlink()  # its earlier references stay
    write_run_references(store, tmp_path, [digests[2]])
    assert found(store).digests == ()


def test_the_owner_name_of_a_run_is_kept(tmp_path):
    assert reference_owner(tmp_path) == reference_owner(tmp_path) and len(reference_owner(tmp_path)) == 32
