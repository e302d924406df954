"""Which entries a full cache evicts."""

from hypothesis import given
from hypothesis import strategies as st

from marl_app.store.lru import Lru


def test_the_least_recently_used_are_evicted_until_the_new_value_fits():
    cache = Lru(10)
    for key, size in (("a", 4), ("b", 4), ("c", 2)):
        cache.add(key, key.upper(), size)
    assert cache.size == 10 and cache.get("a") == "A"  # now b is least recently used
    cache.add("d", "D", 5)  # needs 5 more: b (4) and then c (2) are evicted
    assert "a" in cache and "b" not in cache and "c" not in cache and cache.size == 9 and len(cache) == 2
    assert cache.get("b") is None
    cache.add("a", "again", 1)  # replaces the old value
    assert cache.get("a") == "again" and cache.size == 6
    cache.drop("a")
    cache.drop("a")
    assert cache.size == 5


def test_a_value_larger_than_the_cache_is_not_inserted():
    cache = Lru(10)
    cache.add("a", 1, 6)
    cache.add("huge", 2, 11)
    assert "huge" not in cache and "a" in cache  # nothing is evicted for it


def test_pinned_entries_stay_even_if_they_do_not_fit():
    cache = Lru(2)
    cache.pin("runner 1", ["a", "b"])  # before they are inserted
    cache.pin("runner 2", ["b"])
    for key in "abcd":
        cache.add(key, key)
    assert "a" in cache and "b" in cache and "d" in cache and "c" not in cache and cache.size == 3
    cache.pin("runner 1", [])
    assert "a" not in cache and "b" in cache and cache.size == 2  # b is still pinned by runner 2
    cache.pin("runner 2", ["d"])
    cache.add("e", "e")
    assert "b" not in cache and "d" in cache and "e" in cache


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 4))), st.integers(1, 10))
def test_it_agrees_with_a_list_of_uses(requests, capacity):
    """The cache holds the most recently used keys, as many as fit one after the other."""
    cache, sizes, uses = Lru(capacity), {}, []
    for key, size in requests:
        size = sizes.setdefault(key, min(size, capacity))
        held, room = [], capacity
        for used in dict.fromkeys(reversed(uses)):
            if sizes[used] > room:
                break
            held.append(used)
            room -= sizes[used]
        assert cache.request(key, None, size) == (key in held)
        uses.append(key)
        assert cache.size <= capacity
