"""Blobs referenced by a league, a checkpoint or another run stay, and so do young blobs."""

import os
import time

import pytest

from marl_app.store.disk import DiskStore
from marl_app.store.garbage import (
    MIN_GRACE_S,
    OWNER,
    find_garbage,
    reference_owner,
    write_references,
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


def test_the_owner_name_of_a_run_is_kept(tmp_path):
    assert reference_owner(tmp_path) == reference_owner(tmp_path) and len(reference_owner(tmp_path)) == 32


@pytest.mark.parametrize("left", ["", "\n", "3f2a", "\x00" * 33])
def test_an_owner_file_that_a_power_loss_left_empty_is_written_again(tmp_path, left):
    (tmp_path / OWNER).write_text(left)
    owner = reference_owner(tmp_path)
    assert len(owner) == 32 and reference_owner(tmp_path) == owner  # and then it stays
    assert [path.name for path in tmp_path.iterdir()] == [OWNER]
