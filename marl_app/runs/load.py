"""The bytes of a run's players, and the store that holds its snapshots."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

from marl_app.config.renamed import current_path
from marl_app.runs.checkpoints import latest_checkpoint
from marl_app.runs.packed import is_packed, read_packed
from marl_app.runs.trust import import_classes, recorded_config, refuse_foreign_imports
from marl_app.store.codec import CorruptBlob, metadata_of
from marl_app.store.disk import DiskStore
from marl_app.store.store import Store

CLASS_KEYS = ("module_class", "bot", "rl_module")
"""Keys of a player's metadata, and of its `model_config`, with the import path of a class; marl_app's networks have a
name without a dot."""


def load_bytes(run: str | Path, player: str | None = None, store: Store | None = None, trust: bool = False) -> bytes:
    """Return the bytes of a player of a run directory: by default the first learner of its newest checkpoint.

    run: a run directory, or a packed player (see `runs/packed.py`), which is a single player.
    player: another learner, or a snapshot such as "main@0003". store: where the snapshots are now, if that is not what
    the run's configuration says. The classes that the player names are imported if the run may name them: `trust`, or
    a run of this user (see `runs/trust.py`).
    Raises FileNotFoundError if the run has no whole checkpoint, KeyError, listing the available players, for an
    unknown one, ValueError for a damaged file, and UntrustedRunError.
    """
    directory = Path(run).absolute()
    data = _packed(directory, player) if is_packed(directory) else _player(directory, player, store, trust)
    import_classes_of(data, directory, trust)
    return data


def import_classes_of(data: bytes, run: Path, trust: bool) -> None:
    """Import the class that a player of a run names, if the run may name it; see `runs/trust.py`."""
    # Class paths are at the top of the metadata and in the configuration of the network.
    named = metadata_of(data)
    config = named.get("model_config")
    named = {**named, **(config if isinstance(config, dict) else {})}
    import_classes(run, [path for key in CLASS_KEYS if (path := named.get(key))], trust)


def _packed(file: Path, player: str | None) -> bytes:
    data = read_packed(file).player
    name = metadata_of(data).get("player")
    if player not in (None, name):
        raise KeyError(f"{file} has no player {player!r}; it is {name}")
    return data


def _player(run: Path, player: str | None, store: Store | None, trust: bool) -> bytes:
    checkpoint = latest_checkpoint(run / "checkpoints")
    if checkpoint is None:
        raise FileNotFoundError(f"{run} holds no whole checkpoint; is it a run directory?")
    # A learner's newest weights are in the checkpoint, a snapshot's in the store.
    digests = {snapshot.player.id: snapshot.digest for snapshot in checkpoint.state.snapshots}
    player = player or next(iter(checkpoint.players))
    if player in checkpoint.players:
        return checkpoint.players[player]
    if player not in digests:
        there = ", ".join([*checkpoint.players, *digests])
        raise KeyError(f"{run} has no player {player!r}; its players are {there}")
    try:
        return (store or store_of(run, trust)).get(digests[player])
    except CorruptBlob as error:
        raise CorruptBlob(f"{player} of {run} is damaged: {error}") from error
    except KeyError as error:
        raise KeyError(f"{player} of {run} is not in its store: {error.args[0]}") from error


@functools.lru_cache(maxsize=8)
def store_of(run: Path, trust: bool = False) -> Store:
    """Where a run keeps its snapshots, by the configuration in its directory; without one in `snapshots/`.

    Raises UntrustedRunError if the run names a store that is not marl_app's, and may not; see `runs/trust.py`; and
    ValueError if the store cannot be made.
    """
    config = recorded_config(run)
    if "store" not in config:
        return DiskStore(run / "snapshots")
    refuse_foreign_imports(run, {"store": config["store"]}, trust)
    try:
        # Of interpolations only that of the run directory is resolved here.
        arguments = {  # the directory may have been moved
            key: value.replace("${output_dir}", str(run)) if isinstance(value, str) else value
            for key, value in config["store"].items()
        }
        module, _, name = current_path(arguments.pop("_target_")).rpartition(".")
        store: Store = getattr(importlib.import_module(module), name)(**arguments)
    except (AttributeError, FileExistsError, ImportError, LookupError, TypeError, ValueError) as error:
        text = f"{type(error).__name__}: {error}"
        raise ValueError(f"the store that {run} records, {config['store']}, cannot be made ({text})") from error
    return store
