"""Where a snapshot comes from, as a note beside its blob: readable without fetching its weights.

The facts are those in the blob's own metadata, and the configuration of the run. (The configuration is not in the blob:
two runs with the same seed give the same blobs, whatever their directories are called.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marl_app.store.codec import metadata_of
from marl_app.store.store import FACTS, Store, digest_of

BLOB_FIELDS = ("player", "parent", "agent_steps", "env_steps", "app_version")


def publish(store: Store, blob: bytes, config: Mapping[str, Any]) -> str:
    """Put a player's bytes into the store, then the note about them; returns the digest."""
    digest = store.put(blob)
    store.note(FACTS, digest, provenance(blob, config))
    return digest


def provenance(blob: bytes, config: Mapping[str, Any]) -> dict[str, Any]:
    """Player, parent (a digest), steps, version and configuration of an encoded player."""
    metadata = metadata_of(blob)
    return {
        "digest": digest_of(blob),
        "bytes": len(blob),
        **{name: metadata.get(name) for name in BLOB_FIELDS},
        "config": dict(config),
    }
