"""An env runner's reader: corrupt bytes are fetched again, and failed fetches are not retried immediately."""

import time

import pytest

from marl_app.store.codec import CorruptBlob
from marl_app.store.disk import DiskStore
from marl_app.store.reader import MAX_ATTEMPTS, DirectReader
from marl_app.store.store import Unavailable, digest_of
from marl_app.store.traffic import STORE_TO_RUNNER, Traffic

ABC = digest_of(b"abc")


class Flaky(DiskStore):
    """A store whose next requests raise `faults`, e.g. CorruptBlob for bytes corrupted in transit."""

    faults = ()

    def get(self, digest):
        if self.faults:
            fault, *self.faults = self.faults
            raise fault
        return super().get(digest)


@pytest.fixture
def store(tmp_path):
    store = Flaky(tmp_path)
    store.put(b"abc")
    return store


def test_transfers_are_counted(store):
    reader = DirectReader(store)
    assert [reader.get(ABC) for _ in range(2)] == [b"abc"] * 2
    traffic = reader.traffic.pop_totals()
    assert traffic.bytes[STORE_TO_RUNNER] == 6 and traffic.count[STORE_TO_RUNNER] == 2 == traffic.requests
    assert traffic.seconds > 0 and reader.traffic == Traffic()


def test_bytes_corrupted_in_transit_are_fetched_again_and_counted(store):
    reader = DirectReader(store)
    store.faults = [CorruptBlob("corrupted")] * 2
    assert reader.get(ABC) == b"abc"
    assert reader.traffic.corrupt == 2 and reader.traffic.failed == 0


def test_a_flipped_byte_and_a_truncated_blob_are_never_returned(store):
    for data in (b"abd", b"ab", b""):
        (store.path / ABC).write_bytes(data)
        reader = DirectReader(store)
        with pytest.raises(CorruptBlob):
            reader.get(ABC)
        assert reader.traffic.corrupt == MAX_ATTEMPTS and reader.traffic.failed == 1
        store.put(b"abc")


@pytest.mark.parametrize("fault", [KeyError("not there yet"), Unavailable("down")])
def test_a_failed_fetch_is_not_retried_immediately(store, fault):
    reader = DirectReader(store, pause_s=0.2)
    other = store.put(b"other")
    store.faults = [fault]
    for _ in range(3):
        with pytest.raises(type(fault)):
            reader.get(ABC)  # the second and third send no request: the store would answer
    assert reader.traffic.failed == 1 == reader.traffic.requests
    if isinstance(fault, Unavailable):
        with pytest.raises(Unavailable):
            reader.get(other)  # any other digest would time out as well
    else:
        assert reader.get(other) == b"other"
    time.sleep(0.25)
    assert reader.get(ABC) == b"abc" and reader.get(other) == b"other"
