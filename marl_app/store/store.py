"""What a store promises: bytes, addressed by the SHA-256 of their content.

As in git's object store and OCI registries, the name of a blob is the digest of its bytes. So a blob never changes,
the same bytes are stored once, and whoever holds a digest can check what comes back; a store cannot hand out wrong
weights unnoticed.
"""

from __future__ import annotations

import hashlib
from typing import Protocol


def digest_of(data: bytes) -> str:
    """SHA-256 of `data` as 64 lowercase hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


class Store(Protocol):
    """Every method that takes a digest raises ValueError if it is not 64 lowercase hexadecimal characters."""

    def put(self, data: bytes) -> str:
        """Store `data` and return its digest. All or nothing, durable on return; harmless to repeat."""
        ...

    def get(self, digest: str) -> bytes:
        """The verified bytes. KeyError if there are none; `codec.CorruptBlob` if they are not what was stored."""
        ...

    def has(self, digest: str) -> bool:
        """Whether the blob is there (not whether it is intact)."""
        ...

    def list(self) -> tuple[str, ...]:
        """All digests, sorted."""
        ...

    def delete(self, digest: str) -> None:
        """Remove the blob, if it is there."""
        ...
