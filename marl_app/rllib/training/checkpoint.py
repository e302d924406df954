"""Saving a run and continuing it: between a `MatchAlgorithm` and the files of `marl_app/runs/checkpoints.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.core.learner.learner import Learner

from marl_app.players.encoding import difference, player_metadata
from marl_app.rllib.training.algorithm import MatchAlgorithm
from marl_app.runs.checkpoints import LEARNER, PLAYER, STATE, Checkpoint, write_checkpoint
from marl_app.store.codec import decode, encode

TRAINED = "trained/"
"""Prefix of the weights of learners whose averages are saved as players."""


def save_checkpoint(algorithm: MatchAlgorithm, directory: Path, keep: int) -> Path:
    """Write a checkpoint of the run as it is now into `directory`, and delete all but the newest `keep`.

    Return the checkpoint's directory. Raises OSError if it cannot be written.
    """
    arrays, plain = algorithm.learner_group.foreach_learner(_learner_state).result_or_errors[0].get()
    for learner in algorithm.weights.averages:  # the player is the average: training goes on from the weights of now
        arrays |= {f"{TRAINED}{learner}/{name}": value for name, value in algorithm.weights.read(learner).items()}
    files = {
        **{PLAYER.format(learner): algorithm.snapshots.encode(learner) for learner in algorithm.totals},
        LEARNER: encode(arrays, plain),
        STATE: json.dumps(algorithm.run_state().to_json(), allow_nan=False).encode(),
    }
    return write_checkpoint(directory, algorithm.iteration, files, keep)


def load_checkpoint(algorithm: MatchAlgorithm, checkpoint: Checkpoint) -> None:
    """Continue a freshly built algorithm where the checkpoint was written.

    Learners missing in the checkpoint start new; learners missing in this run are ignored.

    Raises ValueError if the weights do not fit (another model or environment) and KeyError if the league or a
    learner refers to weights that the store does not have.
    """
    state, spec = checkpoint.state, algorithm.spec
    decoded = {name: decode(data) for name, data in checkpoint.players.items() if name in algorithm.totals}
    players = {name: weights for name, (weights, _) in decoded.items()}
    current = algorithm.weights.read(spec.main_learner)
    for weights in players.values():
        # Parameters that only one of the two has; if there are none, those of another shape.
        misfit = set(weights.keys() ^ current.keys()) or {
            name for name in weights if weights[name].shape != current[name].shape
        }
        if misfit:
            raise ValueError(
                f"{checkpoint.path} holds another model (at {sorted(misfit)[0]}); resume with the run's own `model`"
            )
    # Settings that change what the same weights compute, such as the activation.
    wanted = player_metadata(spec.networks, spec.agents, spec.architecture)
    for _, metadata in decoded.values():
        if found := difference(metadata, wanted):
            raise ValueError(f"{checkpoint.path} holds another model ({found}); resume with the run's own `model`")
    for snapshot in state.snapshots:
        if not algorithm.store.has(snapshot.digest):
            raise KeyError(f"{checkpoint.path} refers to {snapshot.player.id}, which the store does not have")
    for name, trainee in state.totals.items():
        if name in algorithm.totals and trainee.initial and not algorithm.store.has(trainee.initial):
            raise KeyError(f"{checkpoint.path} refers to the initial weights of {name}, which the store does not have")
    arrays, plain = decode(checkpoint.learner)
    for learner, weights in players.items():
        prefix = f"{TRAINED}{learner}/"
        trained = {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
        if not all(np.isfinite(value).all() for value in (*weights.values(), *trained.values())):
            raise ValueError(
                f"{checkpoint.path} holds weights of {learner} that are not finite; delete it to use the one before"
            )
        algorithm.weights.write(learner, trained or weights)
        if learner in algorithm.weights.averages:
            algorithm.weights.averages[learner] = weights
    arrays = {name: value for name, value in arrays.items() if not name.startswith(TRAINED)}
    algorithm.learner_group.foreach_learner(
        _load_learner_state, arrays=arrays, plain=plain, env_steps=state.counters.env_steps
    )
    algorithm.load_run_state(state)


def _learner_state(learner: Learner, **kwargs: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Optimizers, torch's RNG and the learner's extra state: (arrays, other values)."""
    arrays, plain = learner.extra_state()
    arrays["rng"] = torch.get_rng_state().numpy()
    for name, optimizer in learner._named_optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                arrays[f"{name}/{index}/{key}"] = value.cpu().numpy()
    return arrays, plain


def _load_learner_state(
    learner: Learner, *, arrays: dict[str, np.ndarray], plain: dict[str, Any], env_steps: int, **kwargs: Any
) -> None:
    """The inverse of `_learner_state`; learning rates and such are those of the configuration, at this env step."""
    torch.set_rng_state(torch.from_numpy(arrays["rng"]))
    for name, optimizer in learner._named_optimizers.items():
        state: dict[int, dict[str, torch.Tensor]] = {}
        for path, value in arrays.items():
            owner, _, rest = path.rpartition("/")[0].rpartition("/")
            if owner == name:
                state.setdefault(int(rest), {})[path.rpartition("/")[2]] = torch.from_numpy(value)
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    # RLlib moves its schedules after an update: the first one would use their beginning.
    for optimizer, schedule in learner._optimizer_lr_schedules.items():
        learner._set_optimizer_lr(optimizer, schedule.update(timestep=env_steps))
    learner.load_extra_state(arrays, plain, env_steps)
