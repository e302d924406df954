"""Garbage collection: what nobody refers to any more leaves the store.

Who needs blobs says so in a note in the store (`refer`), under a name of its own: a run notes what its league and all
of its checkpoints refer to: the pool, guests from elsewhere too, and the weights that its learners may start again
from. Several runs can share a store, and what any of them refers to stays. So does everything younger than the grace: a
blob is put before anything refers to it. Blobs are listed before references are read; so a reference that appears
meanwhile is seen.
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
"""Twice the age at which `object_store` makes a blob new that is put again."""
OWNER = ".store_owner"


@dataclass(frozen=True)
class Garbage:
    """`digests` that nobody refers to; `referred` and `young` are the numbers of those that stay, and why."""

    digests: tuple[str, ...]
    referred: int
    young: int


def write_references(store: Store, owner: str, digests: Iterable[str], who: str) -> None:
    """Say what `owner` needs, in the place of what it needed before. `who`: for people, e.g. the run's directory."""
    store.note(REFERENCES, owner, {"who": who, "digests": sorted(set(digests))})


def write_run_references(store: Store, run: Path, now: Iterable[str]) -> None:
    """Say what a run needs: these now, and what its checkpoints refer to.

    If one of these cannot be read, what was needed before stays needed. While the store is away nothing is said; the
    next checkpoint says it again.
    """
    owner = reference_owner(run)
    with contextlib.suppress(Unavailable):
        try:
            also = checkpoint_digests(run)
        except ValueError:
            also = set(store.notes(REFERENCES).get(owner, {}).get("digests", ()))
        write_references(store, owner, also.union(now), str(run))


def reference_owner(run: Path) -> str:
    """The name under which a run refers to blobs: random, and kept in its directory."""
    file = run / OWNER
    if not file.exists():
        file.write_text(uuid.uuid4().hex + "\n")
    return file.read_text().strip()


def checkpoint_digests(run: Path) -> set[str]:
    """The digests in all checkpoints of a run, torn ones included.

    Raises ValueError for a checkpoint that cannot be read: what it refers to is not known, so nothing is garbage.
    """
    found: set[str] = set()
    for path in sorted((run / "checkpoints").glob("checkpoint-*")):
        try:
            state = json.loads((path / "state.json").read_bytes())
            found.update(snapshot["digest"] for snapshot in state["league"]["snapshots"])
            found.update(trainee["initial"] for trainee in state["trainees"].values() if trainee["initial"])
        except FileNotFoundError:
            if path.exists():
                raise ValueError(f"{path} has no state.json: delete it, or nothing can be said to be garbage") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged: delete it, or nothing can be said to be garbage") from error
    return found


def find_garbage(store: Store, now: float, grace_s: float, also_referred: Iterable[str] = ()) -> Garbage:
    """What may be deleted at the time `now` (Unix seconds). Raises ValueError for a grace below `MIN_GRACE_S`."""
    if grace_s < MIN_GRACE_S:
        raise ValueError(f"a grace of {grace_s:g} s is too short: give at least {MIN_GRACE_S:g}")
    put = store.list()  # before the references
    needed = set(also_referred).union(*(note["digests"] for note in store.notes(REFERENCES).values()))
    loose = {digest: when for digest, when in put.items() if digest not in needed}
    old = tuple(digest for digest, when in loose.items() if now - when > grace_s)
    return Garbage(old, referred=len(put) - len(loose), young=len(loose) - len(old))
