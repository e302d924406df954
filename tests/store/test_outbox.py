"""What is published while the store is away arrives when it is back: the server is really stopped."""

import copy
import pickle
import time

import pytest

from marl_app.store.object_store import ObjectStore
from marl_app.store.outbox import Outbox
from marl_app.store.provenance import publish
from marl_app.store.store import FACTS, Unavailable
from tests.store.test_codec import BLOB


@pytest.fixture
def stopped(s3, object_store):
    """The store whose server has just been stopped; started again afterwards."""
    s3.stop()
    yield object_store
    s3.start() if s3._process is None else None


def wait_until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_nothing_waits_while_the_store_answers(object_store, tmp_path):
    outbox = Outbox(object_store, tmp_path / "outbox")
    digest = publish(outbox, BLOB, {"seed": 3})
    assert outbox.queued == 0 and object_store.get(digest) == BLOB == outbox.get(digest)
    facts = object_store.notes(FACTS)[digest]
    assert facts["player"] == "main@0003" and facts["config"] == {"seed": 3} and facts["bytes"] == len(BLOB)
    assert list(outbox.list()) == [digest] and outbox.has(digest)
    outbox.delete(digest)
    assert not outbox.has(digest) and outbox.notes(FACTS) == {}


def test_publishes_wait_and_are_delivered(stopped, s3, tmp_path):
    outbox = Outbox(stopped, tmp_path / "outbox", first_pause_s=0.1, longest_pause_s=0.2)
    began = time.monotonic()
    digests = [publish(outbox, BLOB, {}), outbox.put(b"two"), outbox.put(b"three")]
    assert time.monotonic() - began < 5  # only the first one waits for the retries
    assert outbox.queued == 3 and outbox.get(digests[0]) == BLOB and outbox.has(digests[1])
    with pytest.raises(Unavailable):
        stopped.get(digests[0])

    # The process dies; the next one finds what waits, and goes on.
    next_process = Outbox(stopped, tmp_path / "outbox", first_pause_s=0.1, longest_pause_s=0.2)
    assert next_process.queued == 3
    s3.start()
    wait_until(lambda: next_process.queued == 0 and next_process._thread is None and outbox._thread is None)
    assert sorted(digests) == list(stopped.list()) and stopped.get(digests[0]) == BLOB
    assert list(stopped.notes(FACTS)) == [digests[0]]
    assert stopped.get(next_process.put(b"after")) == b"after"  # at once again


def test_others_get_the_store_and_never_the_folder(object_store, tmp_path):
    outbox = Outbox(object_store, tmp_path / "outbox")
    assert type(pickle.loads(pickle.dumps(outbox))) is ObjectStore
    assert copy.deepcopy(outbox) is outbox  # RLlib copies its configuration
