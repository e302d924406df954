"""Checkpoints: everything a run needs to go on, as tensors and JSON, under a manifest of digests. No pickle.

A checkpoint is a directory that appears whole, by a rename, or not at all:

    checkpoint-00000120/
      player-main.safetensors  weights of the learner `main`, as a player that can be loaded (see `player.py`); one each
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
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from marl_app.runs.state import RunState

logger = logging.getLogger(__name__)

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

    Deleted too are directories that a killed writer left, and checkpoints of later iterations: the resumed run skipped
    them, so they are damaged. Return the checkpoint's directory. Raises OSError if the disk is full.
    """
    manifest = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    files = {**files, MANIFEST: json.dumps(manifest).encode()}
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.glob(".checkpoint-*"):
        shutil.rmtree(leftover)
    name = f"checkpoint-{iteration:08d}"
    # One from earlier in this iteration stays until the new one is there.
    path, again = directory / name, directory / f"{name}+"
    if path.exists() and again.exists():
        shutil.rmtree(path)
    elif path.exists():
        path = again
    temporary = directory / f".{path.name}"
    temporary.mkdir()
    for file_name, data in files.items():
        with open(temporary / file_name, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    os.rename(temporary, path)
    descriptor = os.open(directory, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    there = _all(directory)
    older = [other for other in there if other.name < name]
    for other in set(there) - {path, *older[: keep - 1]}:
        shutil.rmtree(other)
    return path


def latest_checkpoint(directory: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None; one that is torn is reported and passed over."""
    for path in _all(directory):
        try:
            manifest = json.loads((path / MANIFEST).read_bytes())
            data = {name: (path / name).read_bytes() for name in manifest}
            for name, content in data.items():
                if hashlib.sha256(content).hexdigest() != manifest[name]:
                    raise ValueError(f"{name} does not have the digest in {MANIFEST}")
            state = RunState.from_json(json.loads(data[STATE]))
            players = {name: data[PLAYER.format(name)] for name in state.trainees}
            return Checkpoint(path, players, data[LEARNER], state)
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s is damaged (%s); trying the one before", path, error)
    return None


def has_checkpoints(directory: Path) -> bool:
    """Whether there is a checkpoint, whole or not."""
    return bool(_all(directory))


def _all(directory: Path) -> list[Path]:
    """Checkpoint directories, newest first."""
    return sorted(directory.glob("checkpoint-*"), reverse=True)
