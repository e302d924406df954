"""Weights <-> bytes, in the safetensors format: a JSON header and raw arrays. Nothing in it can run code (no pickle).

The same weights and metadata always give the same bytes, so that their digest names them. Two things see to that:
the metadata is one entry of canonical JSON, because safetensors writes several entries in random order; and the
arrays are written contiguous and little-endian, whatever their layout in memory.

Safetensors has no checksum: changed weights decode without an error. Whoever decodes must have verified the digest,
as `Store.get` does.
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
"""Encoded weights, wherever they lie: in a process's own memory, or in memory that several share."""

_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


class CorruptBlob(ValueError):
    """These bytes are not what was stored, or no encoded weights at all."""


def encode(weights: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> bytes:
    """Weights (bool, integer, float16, float32 or float64 arrays of any shape) and JSON metadata as bytes.

    Raises TypeError for arrays of another dtype and for metadata that is not JSON; ValueError for NaN in metadata
    and for weights named `__metadata__`, which safetensors would confuse with its own.
    """
    if "__metadata__" in weights:
        raise ValueError("weights cannot be named '__metadata__'")
    arrays = {name: _plain(name, weights[name]) for name in sorted(weights)}
    text = json.dumps(dict(metadata), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return save(arrays, metadata={METADATA_KEY: text})


def decode(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The weights, as writable arrays of their own, and the metadata. Raises CorruptBlob for anything malformed."""
    try:
        weights = load(data)
        (header_bytes,) = struct.unpack_from("<Q", data)
        metadata = json.loads(json.loads(data[8 : 8 + header_bytes])["__metadata__"][METADATA_KEY])
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise CorruptBlob(f"{len(data)} bytes are not encoded weights: {type(error).__name__}: {error}") from error
    if not isinstance(metadata, dict):
        raise CorruptBlob(f"the metadata of encoded weights must be a JSON object, not {type(metadata).__name__}")
    return {name: np.array(array) for name, array in weights.items()}, metadata


def metadata_of(data: Buffer) -> dict[str, Any]:
    """The metadata alone. Raises CorruptBlob for anything malformed."""
    return _header(memoryview(data).cast("B"))[1]


def decode_views(data: Buffer) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """As `decode`, without copying: the weights are read-only views of `data`, which lives as long as they do."""
    memory = memoryview(data).cast("B").toreadonly()
    header, metadata, start = _header(memory)
    weights = {}
    try:
        for name, entry in header.items():
            dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
            first, last = entry["data_offsets"]
            count = int(np.prod(shape, dtype=np.int64))
            if first < 0 or last - first != count * dtype.itemsize or start + last > len(memory):
                raise ValueError(f"{name!r} does not lie where its header says")
            weights[name] = np.frombuffer(memory, dtype, count, start + first if count else 0).reshape(shape)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise CorruptBlob(f"{len(memory)} bytes are not encoded weights: {type(error).__name__}: {error}") from error
    return weights, metadata


def _header(memory: memoryview) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The entries of the arrays by name, the metadata, and where the arrays begin."""
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


def _plain(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The same array, contiguous and little-endian."""
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"weights {name!r} are {array.dtype}: only bool, integer and float arrays can be stored")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
