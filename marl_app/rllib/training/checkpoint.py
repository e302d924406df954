"""Saving a run and continuing it: between a `MatchAlgorithm` and the files of `marl_app/runs/checkpoints.py`.

A run saves its checkpoints in its own directory. A checkpoint of RLlib (`Algorithm.save_to_path`) has to stand alone:
it is a run directory itself, with record, one checkpoint, and the snapshots that the checkpoint refers to.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from marl_app.config.errors import ConfigError
from marl_app.players.encoding import difference, player_metadata
from marl_app.rllib.run_spec import RunSpec
from marl_app.rllib.training.learner_state import learner_state, load_learner_state
from marl_app.rllib.training.learners import Learners
from marl_app.rllib.training.weights import LearnerArrays, LearnerWeights, Snapshots
from marl_app.runs.checkpoints import LEARNER, PLAYER, STATE, Checkpoint, latest_checkpoint, write_checkpoint
from marl_app.runs.state import LearnerTotals, RunState
from marl_app.runs.trust import RECORD
from marl_app.store.codec import decode, encode
from marl_app.store.disk import DiskStore
from marl_app.store.store import Store

TRAINED = "trained/"
"""Prefix of the weights of learners whose averages are saved as players."""
CHECKPOINTS, SNAPSHOTS = "checkpoints", "snapshots"


class SavedRun(Protocol):
    """What is saved of a run."""

    iteration: Any  # RLlib's property
    spec: RunSpec
    run_dir: Path
    store: Store
    learner_group: Learners
    weights: LearnerWeights
    snapshots: Snapshots
    totals: dict[str, LearnerTotals]

    def run_state(self) -> RunState:
        """Return what a checkpoint keeps besides weights and optimizers."""

    def load_run_state(self, state: RunState) -> None:
        """Continue from this state."""


def save_alone(algorithm: SavedRun, directory: Path) -> None:
    """Write a checkpoint that stands alone into `directory`: the layout of a run directory.

    Raises OSError if it cannot be written, and KeyError if the store lacks a snapshot of the pool.
    """
    if (algorithm.run_dir / RECORD).is_dir():
        shutil.copytree(algorithm.run_dir / RECORD, directory / RECORD, dirs_exist_ok=True)
    snapshots = DiskStore(directory / SNAPSHOTS)
    # Snapshots are named by their content: those of an earlier save into this directory are not copied again.
    for digest in algorithm.snapshots.needed_digests:
        if not snapshots.has(digest):
            snapshots.put(algorithm.store.get(digest))
    save_checkpoint(algorithm, directory / CHECKPOINTS, keep=1)


def load_alone(algorithm: SavedRun, directory: Path) -> None:
    """Continue from what `save_alone` wrote, or from a run directory. Its snapshots join the store of this run.

    Raises ConfigError without a whole checkpoint, ValueError and KeyError as `load_checkpoint`.
    """
    saved = latest_checkpoint(directory / CHECKPOINTS)
    if saved is None:
        raise ConfigError(f"{directory} holds no whole checkpoint of marl_app: give what save_to_path wrote")
    snapshots = DiskStore(directory / SNAPSHOTS) if (directory / SNAPSHOTS).is_dir() else algorithm.store
    for digest in saved.state.needed_digests:
        if not algorithm.store.has(digest):
            algorithm.store.put(snapshots.get(digest))
    load_checkpoint(algorithm, saved)


def save_checkpoint(algorithm: SavedRun, directory: Path, keep: int) -> Path:
    """Write a checkpoint of the run as it is now into `directory`, and delete all but the newest `keep`.

    Return the checkpoint's directory. Raises OSError if it cannot be written.
    """
    arrays, plain = algorithm.learner_group.first(learner_state)
    for learner in algorithm.weights.averages:  # the player is the average: training goes on from the weights of now
        arrays |= {f"{TRAINED}{learner}/{name}": value for name, value in algorithm.weights.read(learner).items()}
    # By file: a player of each learner, the learner's process (optimizers, RNG), and the run's state as JSON.
    files = {
        **{PLAYER.format(learner): algorithm.snapshots.encode(learner) for learner in algorithm.totals},
        LEARNER: encode(arrays, plain),
        STATE: json.dumps(algorithm.run_state().to_json(), allow_nan=False).encode(),
    }
    return write_checkpoint(directory, algorithm.iteration, files, keep)


def load_checkpoint(algorithm: SavedRun, checkpoint: Checkpoint) -> None:
    """Continue a freshly built algorithm where the checkpoint was written.

    Learners missing in the checkpoint start new; learners missing in this run are ignored.

    Raises ValueError if the weights do not fit (another model or environment) or are not finite, and KeyError if the
    league or a learner refers to weights that the store does not have; the algorithm is then as before.
    """
    # 1. Do the saved weights of all learners fit the networks of this run, and are they finite? Nothing is written
    # before all is checked. With averages the saved player is the average, and TRAINED has the weights to train on.
    state, spec = checkpoint.state, algorithm.spec
    arrays, plain = decode(checkpoint.learner)
    decoded = {name: decode(data) for name, data in checkpoint.players.items() if name in algorithm.totals}
    players = {name: weights for name, (weights, _) in decoded.items()}
    trained = {name: _below(f"{TRAINED}{name}/", arrays) or weights for name, weights in players.items()}
    current = algorithm.weights.read(spec.main_learner)
    for name in players:
        for weights in (players[name], trained[name]):
            _check_weights(checkpoint.path, name, weights, current)
    # Settings that change what the same weights compute, such as the activation.
    wanted = player_metadata(spec.networks, spec.agents, spec.architecture)
    for _, metadata in decoded.values():
        if found := difference(metadata, wanted):
            raise ValueError(f"{checkpoint.path} holds another model ({found}); resume with the run's own `model`")

    # 2. Are all snapshots there that the run will read? A missing one is named here, not when a match needs it.
    for snapshot in state.snapshots:
        if not algorithm.store.has(snapshot.digest):
            raise KeyError(f"{checkpoint.path} refers to {snapshot.player.id}, which the store does not have")
    for name, trainee in state.totals.items():
        if name in algorithm.totals and trainee.initial and not algorithm.store.has(trainee.initial):
            raise KeyError(f"{checkpoint.path} refers to the initial weights of {name}, which the store does not have")

    # 3. Restore weights.
    for learner, weights in players.items():
        algorithm.weights.write(learner, trained[learner])
        if learner in algorithm.weights.averages:
            algorithm.weights.averages[learner] = weights

    # 4. Restore the learners' processes, then the run's state, which broadcasts the restored weights.
    arrays = {name: value for name, value in arrays.items() if not name.startswith(TRAINED)}
    algorithm.learner_group.each(load_learner_state, arrays=arrays, plain=plain, env_steps=state.counters.env_steps)
    algorithm.load_run_state(state)


def _below(prefix: str, arrays: LearnerArrays) -> LearnerArrays:
    """Return the arrays whose names begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _check_weights(path: Path, learner: str, weights: LearnerArrays, current: LearnerArrays) -> None:
    """Raise ValueError if saved weights do not fit those of the run, or are not finite. `path`: of the checkpoint."""
    # Parameters that only one of the two has; if there are none, those of another shape.
    misfit = set(weights.keys() ^ current.keys()) or {
        name for name in weights if weights[name].shape != current[name].shape
    }
    if misfit:
        raise ValueError(f"{path} holds another model (at {sorted(misfit)[0]}); resume with the run's own `model`")
    if not all(np.isfinite(value).all() for value in weights.values()):
        raise ValueError(f"{path} holds weights of {learner} that are not finite; delete it to use the one before")
