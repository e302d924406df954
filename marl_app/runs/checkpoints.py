"""Checkpoints: everything a run needs to go on, as tensors and JSON, under a manifest of digests. No pickle.

A checkpoint is a directory that appears whole, by a rename, or not at all:

    checkpoint-00000120/
      player-main.safetensors  weights of the learner `main`, as a player (`players/encoding.py`); a file per learner
      learner.safetensors      optimizer and torch RNG state, and what else RLlib's learner keeps
      state.json               iteration, counters, league, RNG
      manifest.json            SHA-256 of the others; written last

RLlib's own checkpoints are cloudpickle (loading one runs code), are not atomic and are not verified.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from marl_app.durable import make_folder, sync_file, sync_folder
from marl_app.runs.regular_file import read_regular
from marl_app.runs.state import RunState

logger = logging.getLogger(__name__)

MANIFEST_BYTES, STATE_BYTES, MOST_BYTES = 2**20, 2**30, 2**36
"""Sizes of a manifest, of a state, and of any file, beyond which a checkpoint counts as damaged."""
DAMAGES = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, MemoryError)
"""What reading a torn, malformed or malicious checkpoint raises."""
PLAYER, LEARNER, STATE, MANIFEST = "player-{}.safetensors", "learner.safetensors", "state.json", "manifest.json"


@dataclass(frozen=True)
class Checkpoint:
    """A whole, verified checkpoint: its directory and the contents of its files; the players by learner, the first one
    first."""

    path: Path
    players: dict[str, bytes]
    learner: bytes
    state: RunState


def write_checkpoint(directory: Path, iteration: int, files: Mapping[str, bytes], keep: int) -> Path:
    """Write the files of a checkpoint of this iteration, with a manifest, and delete all but the newest `keep`.

    Also deleted are unfinished directories of a killed writer, and checkpoints of later iterations, which a resume
    found damaged and skipped. Return the checkpoint's directory. Raises OSError if the disk is full.
    """
    # 1. The manifest names all files but itself.
    manifest = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    files = {**files, MANIFEST: json.dumps(manifest).encode()}
    make_folder(directory)
    # 2. Choose the name, and delete what a killed writer left.
    for leftover in directory.glob(".checkpoint-*"):
        shutil.rmtree(leftover)
    name = f"checkpoint-{iteration:08d}"
    # A second checkpoint of an iteration gets a "+", so that the first one is deleted only when the second is whole.
    path, again = directory / name, directory / f"{name}+"
    if path.exists() and again.exists():
        shutil.rmtree(path)
    elif path.exists():
        path = again
    # 3. Write into a hidden folder. All bytes are on disk before the rename makes the checkpoint visible.
    temporary = directory / f".{path.name}"
    temporary.mkdir()
    for file_name, data in files.items():
        (temporary / file_name).write_bytes(data)
        sync_file(temporary / file_name)
    sync_folder(temporary)
    os.rename(temporary, path)
    sync_folder(directory)
    # 4. Delete old checkpoints: names sort by iteration.
    existing = _newest_first(directory)
    older = [other for other in existing if other.name < name]
    # Deleted as well: later iterations, and the first of two checkpoints of this iteration.
    for other in set(existing) - {path, *older[: keep - 1]}:
        shutil.rmtree(other)
    return path


def latest_checkpoint(directory: Path) -> Checkpoint | None:
    """Return the newest checkpoint that is whole, or None. Torn ones are logged and skipped."""
    for path in _newest_first(directory):
        try:
            manifest = _manifest(path)
            # Every file is verified before any is used.
            data = {name: _verified(path, name, manifest) for name in manifest}
            state = RunState.from_json(json.loads(data[STATE]))
            players = {name: data[PLAYER.format(name)] for name in state.totals}
            if not players:
                raise ValueError(f"{STATE} has no learner")
            return Checkpoint(path, players, data[LEARNER], state)
        except DAMAGES as error:
            logger.warning("%s is damaged (%s); trying the one before", path, error)
    return None


def latest_state(directory: Path) -> RunState | None:
    """Return the newest state that is whole, or None: as `latest_checkpoint`, without reading weights."""
    for path in _newest_first(directory):
        try:
            return RunState.from_json(json.loads(_verified(path, STATE, _manifest(path))))
        except DAMAGES as error:
            logger.warning("%s is damaged (%s); trying the one before", path, error)
    return None


def all_states(directory: Path) -> list[RunState]:
    """Return the states of all checkpoints, verified or not.

    Raises ValueError, naming the checkpoint, if a state is missing or cannot be read.
    """
    states = []
    for path in _newest_first(directory):
        try:
            states.append(RunState.from_json(json.loads(read_regular(path / STATE, STATE_BYTES))))
        except FileNotFoundError:
            if path.exists():  # otherwise the run has just deleted it
                raise ValueError(f"{path} has no {STATE}") from None
        except DAMAGES as error:
            raise ValueError(f"{path} is damaged") from error
    return states


def _manifest(path: Path) -> dict[str, str]:
    """Return the digests of a checkpoint's files, by name. Raises ValueError for names that lead elsewhere."""
    manifest = dict(json.loads(read_regular(path / MANIFEST, MANIFEST_BYTES)))
    for name in manifest:
        if not re.fullmatch(r"[\w@-][\w@.-]*", name):
            raise ValueError(f"{MANIFEST} names {name!r}, which is not a file of a checkpoint")
    return manifest


def _verified(path: Path, name: str, manifest: Mapping[str, str]) -> bytes:
    """Return a file of a checkpoint. Raises ValueError if its digest is not that of the manifest."""
    data = read_regular(path / name, STATE_BYTES if name == STATE else MOST_BYTES)
    if hashlib.sha256(data).hexdigest() != manifest[name]:
        raise ValueError(f"{name} does not have the digest in {MANIFEST}")
    return data


def has_checkpoints(directory: Path) -> bool:
    """Return whether the directory has a checkpoint, whole or torn."""
    return bool(_newest_first(directory))


def _newest_first(directory: Path) -> list[Path]:
    """Return the checkpoints of a directory, newest first; a file or a link of such a name is none."""
    found = (path for path in directory.glob("checkpoint-*") if path.is_dir() and not path.is_symlink())
    return sorted(found, reverse=True)
