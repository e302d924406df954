"""Prefetched snapshots are returned immediately, held only while announced, and fail as the reader does."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from marl_app.store.disk import DiskStore
from marl_app.store.prefetch import PrefetchingReader
from marl_app.store.reader import DirectReader
from marl_app.store.store import Unavailable
from marl_app.store.traffic import STORE_TO_RUNNER

DELAY_S = 0.15


class Slow(DiskStore):
    """A slow store; digests in `down` are unavailable."""

    down: frozenset = frozenset()
    threads: tuple = ()

    def get(self, digest):
        self.threads = (*self.threads, threading.current_thread().name)
        time.sleep(DELAY_S)
        if digest in self.down:
            raise Unavailable("down")
        return super().get(digest)


@pytest.fixture
def store(tmp_path):
    return Slow(tmp_path)


def timed(reader, digest):
    began = time.monotonic()
    data = reader.get(digest)
    return data, time.monotonic() - began


def test_prefetched_snapshots_are_returned_immediately(store):
    one, two, three = (store.put(text) for text in (b"one", b"two", b"three"))
    reader = PrefetchingReader(DirectReader(store))
    data, seconds = timed(reader, one)
    assert data == b"one" and seconds >= DELAY_S  # not announced
    reader.prefetch([two, three], [])
    time.sleep(4 * DELAY_S)  # as long as a match takes
    for digest, text in ((two, b"two"), (three, b"three")):
        data, seconds = timed(reader, digest)
        assert data == text and seconds < DELAY_S / 2
    traffic = reader.traffic.pop_totals()
    assert traffic.requests == traffic.count[STORE_TO_RUNNER] == 3 and traffic.bytes[STORE_TO_RUNNER] == 11
    assert traffic.seconds >= 3 * DELAY_S  # the time of the fetches, waited for or not
    assert len(set(store.threads)) == 1  # readers are for one thread


def test_a_request_during_the_prefetch_waits_for_it_and_nothing_is_fetched_twice(store):
    one = store.put(b"one")
    reader = PrefetchingReader(DirectReader(store))
    reader.prefetch([one, one], [])
    reader.prefetch([one], [])
    assert reader.get(one) == b"one" and len(store.threads) == 1


def test_failures_of_the_reader_are_raised_by_get(store):
    one = store.put(b"one")
    reader = PrefetchingReader(DirectReader(store, pause_s=0.0))
    store.down = frozenset([one])
    reader.prefetch([one], [])
    with pytest.raises(Unavailable):
        reader.get(one)
    with pytest.raises(KeyError):
        reader.get("0" * 64)
    store.down = frozenset()
    assert reader.get(one) == b"one" and reader.traffic.pop_totals().failed == 2


def test_only_announced_snapshots_are_held():
    """After each announcement only the blobs that it lists are held: two, however many came before."""
    held = []

    class Arrays:
        """A reader whose answers are tracked by weak references."""

        rack = ""

        def __init__(self):
            self.traffic = DirectReader(None).traffic

        def get(self, digest, in_use):
            data = np.full(1000, int(digest))
            held.append(weakref.ref(data))
            return memoryview(data)

    reader = PrefetchingReader(Arrays())
    for number in range(0, 40, 2):
        reader.prefetch([str(number), str(number + 1)], [])
        taken = reader.get(str(number))
        assert taken[0] == number
    del taken
    reader.prefetch([], [])
    reader.get("99")  # on the same thread: pending fetches are finished
    gc.collect()
    assert len(held) > 20  # the requested ones, and prefetches that had begun before they were released
    assert not any(reference() is not None for reference in held)
