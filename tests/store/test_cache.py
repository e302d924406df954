"""Concurrent requests share one fetch, and its error; errors are not cached."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from marl_app.store.cache import Cache


class Origin:
    """A source of values `name -> NAME`, 10 bytes each: records the fetches, and may be slow or down."""

    def __init__(self, pause_s=0.0):
        self.fetched, self.pause_s, self.down = [], pause_s, False

    def fetch(self, digest):
        self.fetched.append(digest)
        time.sleep(self.pause_s)
        if self.down:
            raise OSError("down")
        return digest.upper(), 10


def test_hits_misses_and_capacity():
    origin = Origin()
    cache = Cache(origin.fetch, 20)
    assert [cache.get(name) for name in "aab"] == [("A", False), ("A", True), ("B", False)]
    cache.pin("runner", ["a"])
    cache.get("c")
    assert cache.size == 20 and cache.get("a") == ("A", True)  # b was evicted, a is pinned
    cache.drop("a")
    assert cache.get("a") == ("A", False)
    assert origin.fetched == ["a", "b", "c", "a"]


def test_sixteen_threads_cost_one_fetch():
    origin = Origin(pause_s=0.3)
    cache = Cache(origin.fetch, 100)
    together = threading.Barrier(16)

    def request(_):
        together.wait()
        return cache.get("a")

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(request, range(16)))
    assert origin.fetched == ["a"]
    assert {value for value, _ in answers} == {"A"} and [hit for _, hit in answers].count(False) == 1


def test_an_error_reaches_all_waiting_threads_and_is_not_cached():
    origin = Origin(pause_s=0.3)
    origin.down = True
    cache = Cache(origin.fetch, 100)
    with ThreadPoolExecutor(4) as pool:
        errors = [future.exception() for future in [pool.submit(cache.get, "a") for _ in range(4)]]
    assert all(isinstance(error, OSError) for error in errors) and origin.fetched == ["a"]
    origin.down = False
    assert cache.get("a") == ("A", False)


def test_cached_values_are_served_while_the_origin_is_down():
    origin = Origin()
    cache = Cache(origin.fetch, 100)
    cache.get("a")
    origin.down = True
    assert cache.get("a") == ("A", True)
    with pytest.raises(OSError):
        cache.get("b")
