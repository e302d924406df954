"""What a store promises: bytes, addressed by the SHA-256 of their content, and notes about them.

As in git's object store and OCI registries, the name of a blob is the digest of its bytes. So a blob never changes,
the same bytes are stored once, and whoever holds a digest can check what comes back; a store cannot hand out wrong
weights unnoticed. Notes are the small part that may change: where a blob comes from (`FACTS`, named by its digest), and
which blobs somebody needs (`REFERENCES`, named by who needs them; see `garbage`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Protocol

FACTS, REFERENCES = "facts", "references"
KINDS = (FACTS, REFERENCES)

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NOTE = re.compile(r"[0-9a-z][0-9a-z_-]{0,63}")


class Unavailable(OSError):
    """The store does not answer. What failed may work later."""


def digest_of(data: Any) -> str:
    """SHA-256 of bytes (or a buffer of them) as 64 lowercase hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


def is_digest(name: str) -> bool:
    return _DIGEST.fullmatch(name) is not None


def checked_digest(name: str) -> str:
    """The same; ValueError unless it is a digest."""
    if not is_digest(name):
        raise ValueError(f"a digest has 64 lowercase hexadecimal characters, unlike {name!r}")
    return name


def note_path(kind: str, name: str) -> str:
    """The note's path in a store; ValueError for another kind, and for names with anything but a-z, 0-9, _ and -."""
    if kind not in KINDS or not _NOTE.fullmatch(name):
        raise ValueError(f"a note is one of {', '.join(KINDS)}, named by [0-9a-z_-], unlike {kind!r} {name!r}")
    return f"{kind}/{name}.json"


class Store(Protocol):
    """Every method that takes a digest raises ValueError if it is not 64 lowercase hexadecimal characters, and every
    method may raise OSError: `Unavailable` if the store cannot be reached."""

    def put(self, data: bytes) -> str:
        """Store `data` and return its digest. All or nothing, durable on return; harmless to repeat.

        A blob that is put again counts as new, so that `garbage` leaves it alone.
        """
        ...

    def get(self, digest: str) -> bytes:
        """The verified bytes. KeyError if there are none; `codec.CorruptBlob` if they are not what was stored."""
        ...

    def has(self, digest: str) -> bool:
        """Whether the blob is there (not whether it is intact)."""
        ...

    def list(self) -> dict[str, float]:
        """All digests, sorted, and when each was put, in Unix seconds of the store's clock."""
        ...

    def delete(self, digest: str) -> None:
        """Remove the blob and its facts, if they are there."""
        ...

    def note(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        """Keep a small JSON object, in the place of one of the same name. All or nothing."""
        ...

    def notes(self, kind: str) -> dict[str, dict[str, Any]]:
        """All notes of a kind, by name."""
        ...
