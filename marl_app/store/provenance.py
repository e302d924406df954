"""The origin of a snapshot, as a note next to its blob: readable without fetching the weights.

The note holds the facts in the blob's metadata, and the configuration of the run. The configuration is not part of the
blob, so that two runs with the same seed give the same blobs, whatever their directories are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marl_app.store.codec import metadata_of
from marl_app.store.store import FACTS, Store, digest_of

BLOB_FIELDS = ("player", "parent", "agent_steps", "env_steps", "app_version")
"""Keys of the blob's metadata that the note repeats."""


def publish(store: Store, blob: bytes, config: Mapping[str, Any]) -> str:
    """Put an encoded player into the store, then its provenance note; return the digest."""
    # In this order: a note never refers to a blob that the store lacks.
    digest = store.put(blob)
    store.note(FACTS, digest, provenance(blob, config))
    return digest


def provenance(blob: bytes, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return player, parent (a digest), steps, version and configuration of an encoded player."""
    metadata = metadata_of(blob)
    return {
        "digest": digest_of(blob),
        "bytes": len(blob),
        **{name: metadata.get(name) for name in BLOB_FIELDS},
        "config": dict(config),
    }
