"""`DiskStore` returns the bytes that were put, or raises."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marl_app.store.codec import CorruptBlob
from marl_app.store.disk import DiskStore
from marl_app.store.store import Store, digest_of

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of "abc", FIPS 180-2
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    made = DiskStore(tmp_path / "snapshots")
    made.start_writing()
    return made


def names(store: DiskStore) -> list[str]:
    return sorted(path.name for path in store.path.iterdir())


def test_put_get_has_list_delete(store: DiskStore) -> None:
    contract: Store = store
    assert contract.put(b"abc") == ABC
    assert contract.put(b"abc") == ABC  # idempotent
    assert contract.get(ABC) == b"abc" and contract.has(ABC) and list(contract.list()) == [ABC]
    assert DiskStore(store.path).get(ABC) == b"abc"  # on disk, not in memory
    contract.delete(ABC)
    contract.delete(ABC)
    assert not contract.has(ABC) and contract.list() == {} and names(store) == []


def test_a_missing_blob(store: DiskStore) -> None:
    with pytest.raises(KeyError, match=f"no blob {ABC}"):
        store.get(ABC)


def test_the_empty_blob(store: DiskStore) -> None:
    assert store.get(store.put(b"")) == b""


def test_every_truncation_and_every_flipped_bit_is_detected(store: DiskStore) -> None:
    data = bytes(range(64))
    digest = store.put(data)
    damaged = [data[:n] for n in range(64)] + [data[:n] + bytes([data[n] ^ 1]) + data[n + 1 :] for n in range(64)]
    for bad in [*damaged, data + b"\0"]:
        (store.path / digest).write_bytes(bad)
        with pytest.raises(CorruptBlob, match=digest):
            store.get(digest)
        assert (store.path / digest).read_bytes() == bad  # as it was: the reader may be anyone
        store.put(data)  # put again from another copy: repaired, and the bad bytes are kept for inspection
        assert store.get(digest) == data and (store.path / f"{digest}.corrupt").read_bytes() == bad


def test_swapped_files_are_detected(store: DiskStore) -> None:
    a, b = store.put(b"a"), store.put(b"b")
    (store.path / a).rename(store.path / "x")
    (store.path / b).rename(store.path / a)
    (store.path / "x").rename(store.path / b)
    for digest in (a, b):
        with pytest.raises(CorruptBlob):
            store.get(digest)


def test_put_replaces_a_corrupt_file(store: DiskStore) -> None:
    (store.path / ABC).write_bytes(b"")  # as after a power cut, without fsync before the rename
    assert store.put(b"abc") == ABC and store.get(ABC) == b"abc"


def test_a_repair_in_between_is_not_lost(store: DiskStore) -> None:
    """put() found wrong bytes, but another process puts the right ones before they are moved aside."""
    store.put(b"abc")
    store.set_aside(ABC)
    assert store.get(ABC) == b"abc" and names(store) == [ABC]


def test_reading_a_folder_that_is_missing_makes_none(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "snapshots")
    assert store.list() == {} == store.notes("facts") and not store.has(ABC)
    store.delete(ABC)
    with pytest.raises(KeyError):
        store.get(ABC)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", "x", "../" + ABC, ABC + "/..", ABC.upper(), ABC + "\n", ABC + "\0", "CON", "\u0660" * 64, "a" * 300]
)
def test_only_digests_are_valid_names(store: DiskStore, name: str) -> None:
    for call in (store.get, store.has, store.delete):
        with pytest.raises(ValueError, match="64 lowercase"):
            call(name)


@given(st.text(max_size=70))
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    with pytest.raises(ValueError):
        DiskStore._file(DiskStore.__new__(DiskStore), name)


def test_links_and_folders_in_the_place_of_a_blob_are_not_followed(store: DiskStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"abc")  # even with the right content
    (store.path / ABC).symlink_to(secret)
    assert not store.has(ABC)
    with pytest.raises(CorruptBlob):
        store.get(ABC)
    store.put(b"abc")  # replaces the link, not what it points to
    assert not (store.path / ABC).is_symlink() and store.get(ABC) == b"abc"
    store.delete(ABC)
    (store.path / f"{ABC}.corrupt").unlink()
    (store.path / ABC).mkdir()
    with pytest.raises(CorruptBlob):
        store.get(ABC)
    assert secret.read_bytes() == b"abc"


def test_other_files_are_not_blobs(store: DiskStore) -> None:
    (store.path / f".{ABC}.1234.tmp").write_bytes(b"ab")  # the temporary file of a killed writer
    assert store.list() == {} and not store.has(ABC)


def test_eight_threads_put_and_get_the_same_bytes(store: DiskStore) -> None:
    data = b"x" * 100_000

    def work(_: int) -> bool:
        return store.get(store.put(data)) == data

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(64)))
    assert names(store) == [digest_of(data)]


def test_concurrent_processes_put_the_same_blobs(store: DiskStore) -> None:
    code = (
        "import sys; from marl_app.store.disk import DiskStore; s = DiskStore(sys.argv[1])\n"
        "for i in range(20): assert s.get(s.put(bytes([i]) * 50_000)) == bytes([i]) * 50_000"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(store.path)], cwd=ROOT) for _ in range(4)]
    assert [worker.wait(timeout=60) for worker in workers] == [0] * 4
    assert names(store) == sorted(digest_of(bytes([i]) * 50_000) for i in range(20))


def test_a_full_disk_leaves_no_files(store: DiskStore) -> None:
    """A limit on the file size makes the write fail half-way, as on a full disk."""
    code = (
        "import resource, sys; from marl_app.store.disk import DiskStore; s = DiskStore(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))\n"
        "try: s.put(b'x' * (1 << 20))\n"
        "except OSError: sys.exit(7)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(store.path)], cwd=ROOT, timeout=60)
    assert done.returncode == 7 and names(store) == []


def test_a_killed_writer_leaves_no_blob(store: DiskStore) -> None:
    code = (
        "import os, sys; from marl_app.store.disk import DiskStore\n"
        "os.fsync = lambda _: os.kill(os.getpid(), 9)  # after the write, before the rename\n"
        "DiskStore(sys.argv[1]).put(b'abc')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(store.path)], cwd=ROOT, timeout=60)
    assert done.returncode == -9
    assert store.list() == {} and not store.has(ABC)
    assert store.put(b"abc") == ABC and store.get(ABC) == b"abc"


@pytest.mark.timeout(30)  # a pipe would be waited for
def test_a_pipe_or_a_huge_file_in_the_place_of_a_blob_is_an_error(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "store")
    digest = store.put(b"weights")
    file = store.path / digest
    os.truncate(file, 2**43)  # a hole, larger than the memory
    with pytest.raises(OSError, match="larger than the memory"):
        store.get(digest)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(CorruptBlob, match="does not have the digest that names it"):
        store.get(digest)
    store.path.rename(tmp_path / "away")
    store.path.write_text("a file in the place of the folder")
    with pytest.raises(KeyError, match="no blob"):
        store.get(digest)
