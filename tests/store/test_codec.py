"""Encoding is deterministic, decoding inverts it, and malformed bytes raise CorruptBlob."""

import contextlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import save

from marl_app.store.codec import CorruptBlob, decode, decode_views, encode, metadata_of

DTYPES = st.sampled_from(["bool", "int8", "uint8", "int32", "int64", "float16", "float32", "float64", ">f4"])
ARRAYS = DTYPES.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, min_side=0, max_side=4)))
WEIGHTS = st.dictionaries(st.text(max_size=8), ARRAYS, max_size=5)
METADATA = st.dictionaries(
    st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()), max_size=5
)


@given(WEIGHTS, METADATA)
def test_round_trip(weights: dict, metadata: dict) -> None:
    decoded, decoded_metadata = decode(encode(weights, metadata))
    assert decoded_metadata == metadata
    assert decoded.keys() == weights.keys()
    for name, array in weights.items():
        assert decoded[name].dtype == array.dtype.newbyteorder("=") and decoded[name].shape == array.shape
        np.testing.assert_array_equal(decoded[name], array)
        decoded[name][...] = 0  # the arrays are writable copies


@given(WEIGHTS, METADATA)
def test_views_are_the_same_weights_and_read_only(weights: dict, metadata: dict) -> None:
    data = encode(weights, metadata)
    viewed, viewed_metadata = decode_views(memoryview(data))
    assert viewed_metadata == metadata == metadata_of(data)
    for name, array in decode(data)[0].items():
        assert viewed[name].dtype == array.dtype and not viewed[name].flags.writeable
        np.testing.assert_array_equal(viewed[name], array)
    assert viewed.keys() == weights.keys()


@given(WEIGHTS, METADATA)
def test_equal_input_gives_equal_bytes(weights: dict, metadata: dict) -> None:
    shuffled = dict(reversed(weights.items())), dict(reversed(metadata.items()))
    assert encode(weights, metadata) == encode(*shuffled)


def test_the_layout_in_memory_does_not_matter() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    same = [np.asfortranarray(array), array[::-1][::-1], array.astype(">f4"), np.repeat(array, 2, axis=1)[:, ::2]]
    assert {encode({"w": other}, {}) for other in same} == {encode({"w": array}, {})}


def test_no_weights_and_no_elements() -> None:
    assert decode(encode({}, {})) == ({}, {})
    assert decode(encode({"w": np.zeros((0, 3), np.float16)}, {}))[0]["w"].shape == (0, 3)
    assert decode(encode({"w": np.array(3.5)}, {}))[0]["w"].shape == ()  # a scalar stays a scalar


@pytest.mark.parametrize("array", [np.array([object()]), np.array(["text"]), np.array([1j])])
def test_arrays_of_other_dtypes_are_refused(array: np.ndarray) -> None:
    with pytest.raises(TypeError, match="'w'"):
        encode({"w": array}, {})


def test_metadata_that_is_not_json_is_refused() -> None:
    with pytest.raises(TypeError):
        encode({}, {"x": object()})
    with pytest.raises(ValueError):
        encode({}, {"x": float("nan")})
    with pytest.raises(ValueError, match="__metadata__"):
        encode({"__metadata__": np.zeros(1)}, {})


BLOB = encode({"w": np.arange(20, dtype=np.float32), "b": np.zeros(3)}, {"player": "main@0003"})


def test_truncated_bytes_are_corrupt() -> None:
    for size in range(len(BLOB)):
        for read in (decode, decode_views):
            with pytest.raises(CorruptBlob, match=f"^{size} bytes"):
                read(BLOB[:size])


@settings(max_examples=200)
@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
def test_a_changed_byte_decodes_or_raises_corrupt_blob(position: int, change: int) -> None:
    """Safetensors has no checksum: the store detects changed weights, not the codec."""
    data = bytearray(BLOB)
    data[position] ^= change
    for read in (decode, decode_views):
        with contextlib.suppress(CorruptBlob):
            read(bytes(data))


@given(st.binary(max_size=200))
def test_random_bytes_are_corrupt(data: bytes) -> None:
    for read in (decode, decode_views):
        with pytest.raises(CorruptBlob):
            read(data)


@pytest.mark.parametrize(
    "data",
    [
        save({"w": np.zeros(1)}),  # safetensors without our metadata
        save({}, {"marl_app": "not json"}),
        save({}, {"marl_app": "[]"}),  # JSON, but no object
        save({}, {"marl_app": "[" * 100_000}),  # deeper than Python's recursion limit
        BLOB + b"\0",
    ],
)
def test_foreign_bytes_are_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptBlob):
        decode(data)


class MaliciousPickle:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_malicious_pickle_does_not_run(tmp_path: Path) -> None:
    pickled = pickle.dumps(MaliciousPickle(tmp_path / "ran"))
    for data in (pickled, len(pickled).to_bytes(8, "little") + pickled):
        with pytest.raises(CorruptBlob):
            decode(data)
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickled)
    assert (tmp_path / "ran").exists()  # the pickle does run code when unpickled
