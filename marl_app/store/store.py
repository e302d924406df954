"""The store interface: bytes, addressed by the SHA-256 of their content, and notes about them.

As in git's object store and OCI registries, the name of a blob is the digest of its bytes. So a blob never changes,
the same bytes are stored once, and a reader can verify what it receives; wrong weights cannot go unnoticed. Notes are
small and may change: the origin of a blob (`FACTS`, named by its digest), and the blobs that a run needs (`REFERENCES`,
named by the run's random id; see `garbage`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Protocol

FACTS, REFERENCES = "facts", "references"
KINDS = (FACTS, REFERENCES)

# Only these names become parts of paths: no name leads out of the folder of a store.
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NOTE = re.compile(r"[0-9a-z][0-9a-z_-]{0,63}")


class Unavailable(OSError):
    """The store does not answer; the same request may succeed later."""


def digest_of(data: Any) -> str:
    """Return the SHA-256 of bytes or of a buffer, as 64 lowercase hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


def is_digest(name: str) -> bool:
    """Return whether a name is a digest: 64 lowercase hexadecimal characters."""
    return _DIGEST.fullmatch(name) is not None


def checked_digest(name: str) -> str:
    """Return the name unchanged. Raises ValueError if it is not a digest."""
    if not is_digest(name):
        raise ValueError(f"invalid digest {name!r}: expected 64 lowercase hexadecimal characters")
    return name


def note_path(kind: str, name: str) -> str:
    """Return the path of a note in a store.

    Raises ValueError for an unknown kind, and for names with characters other than a-z, 0-9, _ and -.
    """
    if kind not in KINDS or not _NOTE.fullmatch(name):
        raise ValueError(f"invalid note {kind!r} {name!r}: expected one of {', '.join(KINDS)} and a name of [0-9a-z_-]")
    return f"{kind}/{name}.json"


class Store(Protocol):
    """Content-addressed blobs, and notes.

    Every method that takes a digest raises ValueError if it is not 64 lowercase hexadecimal characters, and every
    method may raise OSError: `Unavailable` if the store cannot be reached.
    """

    def put(self, data: bytes) -> str:
        """Store `data` and return its digest. Atomic, durable on return, and idempotent.

        A blob that is put again counts as new, so that `garbage` does not delete it.
        """
        ...

    def get(self, digest: str) -> bytes:
        """Return the verified bytes. Raises KeyError if the blob is missing, `codec.CorruptBlob` if it is corrupt."""
        ...

    def has(self, digest: str) -> bool:
        """Return whether the blob exists (not whether it is intact)."""
        ...

    def list(self) -> dict[str, float]:
        """Return all digests, sorted, with the time of their last put in Unix seconds of the store's clock."""
        ...

    def delete(self, digest: str) -> None:
        """Remove the blob and its `FACTS` note, if they exist."""
        ...

    def note(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        """Write a small JSON object atomically, replacing the note of the same kind and name."""
        ...

    def notes(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return all notes of a kind, by name."""
        ...
