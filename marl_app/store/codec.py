"""Weights <-> bytes, in the safetensors format: a JSON header and raw arrays. Decoding cannot run code (no pickle).

Encoding is deterministic: the same weights and metadata always give the same bytes, so their digest can name them. To
this end the metadata is one entry of canonical JSON (safetensors writes several entries in random order), and arrays
are written contiguous and little-endian, whatever their layout in memory.

Safetensors has no checksum: corrupted weights may decode without an error. Verify the digest before decoding, as
`Store.get` does.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

METADATA_KEY = "marl_app"

Buffer = bytes | memoryview
"""Encoded weights, in private memory (bytes) or in shared memory (memoryview)."""

# safetensors dtype -> numpy dtype string, little-endian
_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


class CorruptBlob(ValueError):
    """Bytes that differ from what was stored, or that are not encoded weights."""


def encode(weights: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> bytes:
    """Encode weights (bool, integer, float16, float32 or float64 arrays of any shape) and JSON metadata.

    Raises TypeError for arrays of another dtype and for metadata that is not JSON; ValueError for NaN in metadata
    and for weights named `__metadata__`, a key that safetensors reserves.
    """
    if "__metadata__" in weights:
        raise ValueError("weights cannot be named '__metadata__'")
    # Sorted names and canonical JSON make the bytes independent of insertion order.
    arrays = {name: _canonical(name, weights[name]) for name in sorted(weights)}
    text = json.dumps(dict(metadata), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return save(arrays, metadata={METADATA_KEY: text})


def decode(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the weights as writable copies, and the metadata. Raises CorruptBlob for malformed bytes."""
    try:
        weights = load(data)
        # safetensors layout: header length (uint64, little-endian), JSON header, arrays
        (header_bytes,) = struct.unpack_from("<Q", data)
        metadata = json.loads(json.loads(data[8 : 8 + header_bytes])["__metadata__"][METADATA_KEY])
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise CorruptBlob(f"{len(data)} bytes are not encoded weights: {type(error).__name__}: {error}") from error
    if not isinstance(metadata, dict):
        raise CorruptBlob(f"the metadata of encoded weights must be a JSON object, not {type(metadata).__name__}")
    return {name: np.array(array) for name, array in weights.items()}, metadata


def metadata_of(data: Buffer) -> dict[str, Any]:
    """Return only the metadata. Raises CorruptBlob for malformed bytes."""
    return _header(memoryview(data).cast("B"))[1]


def decode_views(data: Buffer) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Decode without copying: the weights are read-only views of `data`, and keep it alive.

    Raises CorruptBlob for malformed bytes, as `decode` does.
    """
    # Read-only, because several processes may map the same memory.
    memory = memoryview(data).cast("B").toreadonly()
    header, metadata, start = _header(memory)
    weights = {}
    try:
        for name, entry in header.items():
            dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
            first, last = entry["data_offsets"]
            count = int(np.prod(shape, dtype=np.int64))
            # Offsets come from an unverified header: check them before numpy reads there.
            if first < 0 or last - first != count * dtype.itemsize or start + last > len(memory):
                raise ValueError(f"the data offsets of {name!r} do not match its dtype and shape")
            # frombuffer rejects an offset at the very end, which an empty last array would have: use 0 instead.
            weights[name] = np.frombuffer(memory, dtype, count, start + first if count else 0).reshape(shape)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise CorruptBlob(f"{len(memory)} bytes are not encoded weights: {type(error).__name__}: {error}") from error
    return weights, metadata


def _header(memory: memoryview) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Return the header entries of the arrays by name, the metadata, and the byte offset of the first array."""
    try:
        (header_bytes,) = struct.unpack_from("<Q", memory)
        if 8 + header_bytes > len(memory):
            raise ValueError("the header is longer than the bytes")
        header = json.loads(bytes(memory[8 : 8 + header_bytes]))
        metadata = json.loads(header.pop("__metadata__")[METADATA_KEY])
        if not isinstance(metadata, dict):
            raise ValueError("the metadata must be a JSON object")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise CorruptBlob(f"{len(memory)} bytes are not encoded weights: {type(error).__name__}: {error}") from error
    return header, metadata, 8 + header_bytes


def _canonical(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return the array contiguous and little-endian; TypeError for a dtype that cannot be stored."""
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"weights {name!r} are {array.dtype}: only bool, integer and float arrays can be stored")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
