"""Publishes made while the store is down are delivered when it is back; the server is really stopped."""

import copy
import pickle
import time

import pytest

from marl_app.store.disk import DiskStore
from marl_app.store.object_store import ObjectStore
from marl_app.store.outbox import Outbox
from marl_app.store.provenance import publish
from marl_app.store.store import FACTS, Unavailable
from tests.store.test_codec import BLOB


@pytest.fixture
def stopped(s3, object_store):
    """The store, with its server stopped; the server is started again afterwards."""
    s3.stop()
    yield object_store
    s3.start() if s3._process is None else None


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_store_that_accepts_a_put_and_does_not_keep_it(object_store, tmp_path, monkeypatch):
    forgets, put = [True], ObjectStore.put
    monkeypatch.setattr(ObjectStore, "put", lambda self, data: "0" * 64 if forgets[0] else put(self, data))
    outbox = Outbox(object_store, tmp_path / "outbox", first_pause_s=0.05)
    digest = publish(outbox, BLOB, {})
    assert outbox.queued == 1 and outbox.get(digest) == BLOB  # still in the folder
    forgets[0] = False
    wait_until(lambda: not outbox.queued)
    assert object_store.get(digest) == BLOB


def test_nothing_is_queued_while_the_store_answers(object_store, tmp_path):
    outbox = Outbox(object_store, tmp_path / "outbox")
    digest = publish(outbox, BLOB, {"seed": 3})
    assert outbox.queued == 0 and object_store.get(digest) == BLOB == outbox.get(digest)
    facts = object_store.notes(FACTS)[digest]
    assert facts["player"] == "main@0003" and facts["config"] == {"seed": 3} and facts["bytes"] == len(BLOB)
    assert list(outbox.list()) == [digest] and outbox.has(digest)
    outbox.delete(digest)
    assert not outbox.has(digest) and outbox.notes(FACTS) == {}


def test_publishes_are_queued_and_delivered(stopped, s3, tmp_path):
    outbox = Outbox(stopped, tmp_path / "outbox", first_pause_s=0.1, longest_pause_s=0.2)
    began = time.monotonic()
    digests = [publish(outbox, BLOB, {}), outbox.put(b"two"), outbox.put(b"three")]
    assert time.monotonic() - began < 5  # only the first publish waits for the retries
    assert outbox.queued == 3 and outbox.get(digests[0]) == BLOB and outbox.has(digests[1])
    with pytest.raises(Unavailable):
        stopped.get(digests[0])

    # The process dies; the next process finds the queue and delivers it.
    next_process = Outbox(stopped, tmp_path / "outbox", first_pause_s=0.1, longest_pause_s=0.2)
    assert next_process.queued == 3
    next_process.start_writing()
    s3.start()
    wait_until(lambda: next_process.queued == 0 and next_process._thread is None and outbox._thread is None)
    assert sorted(digests) == list(stopped.list()) and stopped.get(digests[0]) == BLOB
    assert list(stopped.notes(FACTS)) == [digests[0]]
    assert stopped.get(next_process.put(b"after")) == b"after"  # delivered immediately again


def test_reading_delivers_nothing_and_makes_no_folder(object_store, tmp_path):
    # A record names the folder: it may be that of a run of mine, which a stranger's record points to.
    waiting = DiskStore(tmp_path / "outbox")
    digest = waiting.put(BLOB)
    waiting.note(FACTS, digest, {"player": "main@0003"})
    stranger = Outbox(object_store, tmp_path / "outbox")
    assert stranger.get(digest) == BLOB and stranger.has(digest) and digest in stranger.list()
    assert waiting.list() and waiting.notes(FACTS) and not object_store.has(digest)
    Outbox(object_store, tmp_path / "nowhere").list()
    assert not (tmp_path / "nowhere").exists()


def test_a_damaged_blob_is_moved_out_of_the_queue(object_store, tmp_path, caplog):
    folder = DiskStore(tmp_path / "outbox")
    digest = folder.put(BLOB)
    (tmp_path / "outbox" / digest).write_bytes(b"half")
    outbox = Outbox(object_store, tmp_path / "outbox")
    outbox.start_writing()
    assert outbox.queued == 0 and f"cannot deliver {digest}" in caplog.text and not object_store.has(digest)


def test_other_processes_get_the_store_without_the_outbox(object_store, tmp_path):
    outbox = Outbox(object_store, tmp_path / "outbox")
    assert type(pickle.loads(pickle.dumps(outbox))) is ObjectStore
    assert copy.deepcopy(outbox) is outbox  # RLlib deep-copies its configuration
