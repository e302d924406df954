"""Garbage collection: find blobs in a store that no run references.

Each run writes a note of kind `references` into the store, under a random name: the digests that its league
and all of its checkpoints need (the pool, guests from other runs, and weights that its learners may be reset to).
Several runs can share a store; a blob that any of them references stays. Blobs younger than the grace period stay too,
because a blob is put before it is referenced. Blobs are listed before references are read, so that a reference written
in between is seen.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from marl_app.store.store import REFERENCES, Store, Unavailable

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


def write_run_references(store: Store, run: Path, needed: Iterable[str]) -> None:
    """Write the references of a run: the digests `needed` now, and those of its checkpoints.

    If a checkpoint cannot be read, the references written before stay in addition. While the store is unavailable
    nothing is written; the next checkpoint tries again.
    """
    owner = reference_owner(run)
    with contextlib.suppress(Unavailable):
        try:
            earlier = checkpoint_digests(run)
        except ValueError:
            # An unreadable checkpoint may need any digest that was referenced before.
            earlier = set(store.notes(REFERENCES).get(owner, {}).get("digests", ()))
        write_references(store, owner, earlier.union(needed), str(run))


def reference_owner(run: Path) -> str:
    """Return the name of a run's references: random, and kept in a file of the run directory."""
    file = run / OWNER
    if not file.exists():
        file.write_text(uuid.uuid4().hex + "\n")
    return file.read_text().strip()


def checkpoint_digests(run: Path) -> set[str]:
    """Return the digests that the checkpoints of a run reference, torn checkpoints included.

    Raises ValueError for a checkpoint that cannot be read: its references are unknown, so nothing may be deleted.
    """
    found: set[str] = set()
    for path in sorted((run / "checkpoints").glob("checkpoint-*")):
        try:
            state = json.loads((path / "state.json").read_bytes())
            found.update(snapshot["digest"] for snapshot in state["league"]["snapshots"])
            # Weights that a learner may be reset to; empty for learners without resets.
            found.update(trainee["initial"] for trainee in state["trainees"].values() if trainee["initial"])
        except FileNotFoundError:
            # The directory is gone as well if the run has just deleted an old checkpoint.
            if path.exists():
                raise ValueError(
                    f"{path} has no state.json, its references are unknown: delete it to collect garbage"
                ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged, its references are unknown: delete it to collect garbage") from error
    return found


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
    old = tuple(digest for digest, when in unreferenced.items() if now - when > grace_s)
    return Garbage(old, referred=len(put) - len(unreferenced), young=len(unreferenced) - len(old))
