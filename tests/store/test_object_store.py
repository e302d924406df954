"""`ObjectStore` on a real S3 server (moto's, see s3.py) keeps the guarantees of a store."""

import copy
import pickle
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import obstore
import pytest

from marl_app.store.codec import CorruptBlob
from marl_app.store.object_store import ObjectStore
from marl_app.store.store import FACTS, REFERENCES, Store, Unavailable, digest_of

ABC = digest_of(b"abc")


def corrupt(store, digest, data):
    obstore.put(store._client, digest, data)


def test_put_get_has_list_delete(object_store):
    store: Store = object_store
    assert store.put(b"abc") == ABC == store.put(b"abc")
    assert store.get(ABC) == b"abc" and store.has(ABC) and list(store.list()) == [ABC]
    assert abs(time.time() - store.list()[ABC]) < 60
    assert store.get(store.put(b"")) == b""
    store.note(FACTS, ABC, {"player": "main@0000"})
    store.note(REFERENCES, "me", {"digests": [ABC]})
    store.note(REFERENCES, "me", {"digests": []})
    assert store.notes(FACTS) == {ABC: {"player": "main@0000"}} and store.notes(REFERENCES) == {"me": {"digests": []}}
    store.delete(ABC)
    store.delete(ABC)
    assert not store.has(ABC) and list(store.list()) == [digest_of(b"")] and store.notes(FACTS) == {}
    with pytest.raises(KeyError):
        store.get(ABC)
    for name in ("../" + ABC, ABC.upper(), ""):
        with pytest.raises(ValueError, match="64 lowercase"):
            store.get(name)


def test_another_process_opens_the_same_store(object_store):
    object_store.put(b"abc")
    for other in (pickle.loads(pickle.dumps(object_store)), copy.deepcopy(object_store)):
        assert other.get(ABC) == b"abc"


def test_eight_threads_publish_the_same_bytes(object_store):
    data = b"x" * 100_000
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: object_store.put(data), range(32))) == {digest_of(data)}
    assert object_store.get(digest_of(data)) == data


def test_corrupt_objects_are_detected_and_put_repairs_truncated_ones(object_store):
    object_store.put(b"abc")
    corrupt(object_store, ABC, b"abd")
    with pytest.raises(CorruptBlob, match=ABC):
        object_store.get(ABC)
    corrupt(object_store, ABC, b"ab")
    with pytest.raises(CorruptBlob):
        object_store.get(ABC)
    object_store.put(b"abc")
    assert object_store.get(ABC) == b"abc"


def test_errors_of_opening_name_the_key(s3):
    with pytest.raises(ValueError, match=r"store.url=nonsense cannot be opened"):
        ObjectStore("nonsense")
    with pytest.raises(OSError, match=r"store.url=s3://no_such_bucket: .*"):
        ObjectStore("s3://no_such_bucket", retry_s=0.2, options=s3.options)


def test_a_missing_bucket_is_unavailable_not_an_error_of_the_blob(object_store):
    object_store.url = "s3://gone"
    del object_store._client  # made for the old URL
    with pytest.raises(Unavailable, match="store.url=s3://gone"):
        object_store.put(b"abc")


def test_no_server_and_a_silent_server_are_unavailable_after_bounded_time(s3):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        for listening in (False, True):
            if listening:
                silent.listen()
            options = {**s3.options, "aws_endpoint": f"http://127.0.0.1:{silent.getsockname()[1]}"}
            began = time.monotonic()
            with pytest.raises(Unavailable):
                ObjectStore("s3://league", timeout_s=0.5, retry_s=1, options=options)
            assert time.monotonic() - began < 10  # bounded
