"""What a run refers to in its store, so that its snapshots are not collected as garbage."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from marl_app.runs.checkpoints import all_states
from marl_app.store.garbage import reference_owner, write_references
from marl_app.store.store import REFERENCES, Store, Unavailable


def checkpoint_digests(run: Path) -> set[str]:
    """Return the digests in all checkpoints of a run, torn ones included.

    Raises ValueError for a checkpoint that cannot be read: its references are unknown, so nothing may be collected.
    """
    try:
        return {digest for state in all_states(run / "checkpoints") for digest in state.needed_digests}
    except ValueError as error:
        raise ValueError(f"{error}: delete it, or the garbage of the store cannot be determined") from error


def write_run_references(store: Store, run: Path, digests: Iterable[str]) -> None:
    """Note in the store what a run needs: these digests now, and what its checkpoints refer to.

    If a checkpoint cannot be read, the earlier references of the run stay. While the store is unreachable nothing is
    written; the next checkpoint tries again.
    """
    owner = reference_owner(run)
    with contextlib.suppress(Unavailable):
        try:
            # A resumed run may need what its checkpoints refer to, even after the pool has lost it.
            earlier = checkpoint_digests(run)
        except ValueError:
            earlier = set(store.notes(REFERENCES).get(owner, {}).get("digests", ()))
        write_references(store, owner, earlier.union(digests), str(run))
