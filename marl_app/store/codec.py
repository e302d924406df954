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


def _plain(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The same array, contiguous and little-endian."""
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"weights {name!r} are {array.dtype}: only bool, integer and float arrays can be stored")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
