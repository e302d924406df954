"""The bytes of a run's players, and the store that holds its snapshots."""

from __future__ import annotations

import functools
import importlib
import sys
from pathlib import Path

import yaml

from marl_app.config.renamed import current_path
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.store.codec import CorruptBlob
from marl_app.store.disk import DiskStore
from marl_app.store.store import Store


def load_bytes(run: str | Path, player: str | None = None, store: Store | None = None) -> bytes:
    """Return the bytes of a player of a run directory: by default the first learner of its newest checkpoint.

    player: another learner, or a snapshot such as "main@0003". store: where the snapshots are now, if that is not what
    the run's configuration says.
    Raises FileNotFoundError if the run has no whole checkpoint, and KeyError, listing the available players, for an
    unknown one.
    """
    checkpoint = latest_checkpoint(Path(run) / "checkpoints")
    if checkpoint is None:
        raise FileNotFoundError(f"{run} holds no whole checkpoint; is it a run directory?")
    digests = {snapshot.player.id: snapshot.digest for snapshot in checkpoint.state.snapshots}
    player = player or next(iter(checkpoint.players))
    if player in checkpoint.players:
        return checkpoint.players[player]
    if player not in digests:
        there = ", ".join([*checkpoint.players, *digests])
        raise KeyError(f"{run} has no player {player!r}; its players are {there}")
    try:
        return (store or store_of(Path(run).absolute())).get(digests[player])
    except CorruptBlob as error:
        raise CorruptBlob(f"{player} of {run} is damaged: {error}") from error
    except KeyError as error:
        raise KeyError(f"{player} of {run} is not in its store: {error.args[0]}") from error


@functools.lru_cache(maxsize=8)
def store_of(run: Path) -> Store:
    """Where a run keeps its snapshots, by the configuration in its directory; without one in `snapshots/`.

    Raises ValueError for a store that is neither marl_app's nor imported already: a run's files are data, and may come
    from elsewhere, so that a class that they name is not imported for them.
    """
    recorded = run / ".hydra" / "config.yaml"
    config = yaml.safe_load(recorded.read_text(encoding="utf-8")) if recorded.is_file() else {}
    if "store" not in config:
        return DiskStore(run / "snapshots")
    arguments = {  # the directory may have been moved
        key: value.replace("${output_dir}", str(run)) if isinstance(value, str) else value
        for key, value in config["store"].items()
    }
    path = current_path(arguments.pop("_target_"))
    module, _, name = path.rpartition(".")
    if not module.startswith("marl_app.store."):
        imported = getattr(sys.modules.get(module), name, None)
        if not (isinstance(imported, type) and hasattr(imported, "get")):
            raise ValueError(
                f"{run} names the store {path}, which is not marl_app's: give the store yourself (store=...)"
            )
    store: Store = getattr(importlib.import_module(module), name)(**arguments)
    return store
