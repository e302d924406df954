"""Garbage collection: find blobs in a store that no run references.

Each run writes a note of kind `references` into the store, under a random name: the digests that its league
and all of its checkpoints need (the pool, guests from other runs, and weights that its learners may be reset to).
Several runs can share a store; a blob that any of them references stays. Blobs younger than the grace period stay too,
because a blob is put before it is referenced. Blobs are listed before references are read, so that a reference written
in between is seen.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from marl_app.durable import write_durably
from marl_app.store.store import REFERENCES, Store

MIN_GRACE_S = 2 * 3600.0
"""Twice `object_store.RENEW_S`, the age from which a repeated `put` makes a blob count as new."""
OWNER = ".store_owner"
"""File in a run directory that holds the name of the run's references."""


@dataclass(frozen=True)
class Garbage:
    """`digests` that no run references; `referred` and `young` are the numbers of blobs that stay, by reason."""

    digests: tuple[str, ...]
    referred: int
    young: int


def write_references(store: Store, owner: str, digests: Iterable[str], who: str) -> None:
    """Replace the references of `owner`. `who` is a description for humans, e.g. the run directory."""
    store.note(REFERENCES, owner, {"who": who, "digests": sorted(set(digests))})


def reference_owner(run: Path) -> str:
    """Return the name of a run's references: random, and kept in a file of the run directory.

    The file is written durably. One that a power loss left empty or torn is written again: references under the old
    name stay in the store, which keeps more than is needed and loses nothing.
    """
    file = run / OWNER
    owner = file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else ""
    if re.fullmatch(r"[0-9a-f]{32}", owner):
        return owner
    owner = uuid.uuid4().hex
    write_durably(file, f"{owner}\n".encode())
    return owner


def find_garbage(store: Store, now: float, grace_s: float, also_referred: Iterable[str] = ()) -> Garbage:
    """Return the blobs that may be deleted at the time `now` (Unix seconds).

    Raises ValueError for a grace below `MIN_GRACE_S`.
    """
    if grace_s < MIN_GRACE_S:
        raise ValueError(f"a grace of {grace_s:g} s is too short: give at least {MIN_GRACE_S:g}")
    # Blobs first: a blob that is put and referenced after this line is not in the list.
    put = store.list()  # digest -> Unix seconds of the last put
    referenced = set(also_referred).union(*(note["digests"] for note in store.notes(REFERENCES).values()))
    unreferenced = {digest: when for digest, when in put.items() if digest not in referenced}
    # A young blob may have been put and not be referenced yet.
    old = tuple(digest for digest, when in unreferenced.items() if now - when > grace_s)
    return Garbage(old, referred=len(put) - len(unreferenced), young=len(unreferenced) - len(old))
