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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.core.learner.learner import Learner

from marl_app.rllib.match_algorithm import MatchAlgorithm
from marl_app.store.codec import decode, encode

logger = logging.getLogger(__name__)

PLAYER, LEARNER, STATE, MANIFEST = "player-{}.safetensors", "learner.safetensors", "state.json", "manifest.json"


@dataclass(frozen=True)
class Checkpoint:
    """A whole, verified checkpoint: its directory and the contents of its files; the players by learner, the first one
    first."""

    path: Path
    players: dict[str, bytes]
    learner: bytes
    state: dict[str, Any]


def save(algorithm: MatchAlgorithm, directory: Path, keep: int) -> Path:
    """Write a checkpoint of the run as it is now into `directory`, and delete all but the newest `keep`.

    Deleted too are what a killed writer left, and checkpoints of later iterations: a run that was resumed has passed
    them over, so they are damaged.
    """
    arrays, plain = algorithm.learner_group.foreach_learner(_learner_state).result_or_errors[0].get()
    files = {
        **{PLAYER.format(name): algorithm.encode_learner(name) for name in algorithm.trainees},
        LEARNER: encode(arrays, plain),
        STATE: json.dumps(algorithm.progress_state(), allow_nan=False).encode(),
    }
    files[MANIFEST] = json.dumps({name: hashlib.sha256(data).hexdigest() for name, data in files.items()}).encode()
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.glob(".checkpoint-*"):
        shutil.rmtree(leftover)
    name = f"checkpoint-{algorithm.iteration:08d}"
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


def latest(directory: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None; one that is torn is reported and passed over."""
    for path in _all(directory):
        try:
            manifest = json.loads((path / MANIFEST).read_bytes())
            data = {name: (path / name).read_bytes() for name in manifest}
            for name, content in data.items():
                if hashlib.sha256(content).hexdigest() != manifest[name]:
                    raise ValueError(f"{name} does not have the digest in {MANIFEST}")
            state = json.loads(data[STATE])
            players = {name: data[PLAYER.format(name)] for name in state["trainees"]}
            return Checkpoint(path, players, data[LEARNER], state)
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("%s is damaged (%s); trying the one before", path, error)
    return None


def any_in(directory: Path) -> bool:
    """Whether there is a checkpoint, whole or not."""
    return bool(_all(directory))


def load(algorithm: MatchAlgorithm, checkpoint: Checkpoint) -> None:
    """Make a freshly built algorithm go on where the checkpoint was written; learners that it has not begin anew.

    Raises ValueError if the weights do not fit (another model or environment) and KeyError if the league or a
    learner refers to weights that the store does not have.
    """
    players = {name: decode(blob)[0] for name, blob in checkpoint.players.items() if name in algorithm.trainees}
    current = algorithm.weights()
    for weights in players.values():
        misfit = set(weights.keys() ^ current.keys()) or {
            name for name in weights if weights[name].shape != current[name].shape
        }
        if misfit:
            raise ValueError(
                f"{checkpoint.path} holds another model (at {sorted(misfit)[0]}); resume with the run's own `model`"
            )
    for snapshot in checkpoint.state["league"]["snapshots"]:
        if not algorithm.store.has(snapshot["digest"]):
            raise KeyError(f"{checkpoint.path} refers to {snapshot['player']}, which the store does not have")
    for name, trainee in checkpoint.state["trainees"].items():
        if name in algorithm.trainees and trainee["initial"] and not algorithm.store.has(trainee["initial"]):
            raise KeyError(f"{checkpoint.path} refers to the initial weights of {name}, which the store does not have")
    for learner, weights in players.items():
        algorithm.set_weights(learner, weights)
    arrays, plain = decode(checkpoint.learner)
    algorithm.learner_group.foreach_learner(_load_learner_state, arrays=arrays, plain=plain)
    algorithm.load_progress_state(checkpoint.state)


def _all(directory: Path) -> list[Path]:
    """Checkpoint directories, newest first."""
    return sorted(directory.glob("checkpoint-*"), reverse=True)


def _learner_state(learner: Learner, **kwargs: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Optimizers, torch's RNG and the learner's own state: arrays, and what is not an array."""
    arrays, plain = learner.own_state()
    arrays["rng"] = torch.get_rng_state().numpy()
    for name, optimizer in learner._named_optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                arrays[f"{name}/{index}/{key}"] = value.cpu().numpy()
    return arrays, plain


def _load_learner_state(
    learner: Learner, *, arrays: dict[str, np.ndarray], plain: dict[str, Any], **kwargs: Any
) -> None:
    """The inverse of `_learner_state`; learning rates and such stay those of the configuration."""
    torch.set_rng_state(torch.from_numpy(arrays["rng"]))
    for name, optimizer in learner._named_optimizers.items():
        state: dict[int, dict[str, torch.Tensor]] = {}
        for path, value in arrays.items():
            owner, _, rest = path.rpartition("/")[0].rpartition("/")
            if owner == name:
                state.setdefault(int(rest), {})[path.rpartition("/")[2]] = torch.from_numpy(value)
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    learner.load_own_state(arrays, plain)
