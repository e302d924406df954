"""What a learner's process holds besides weights: optimizers, torch's random numbers, and state of the algorithm."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ray.rllib.core.learner.learner import Learner


def learner_state(learner: Learner, **kwargs: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return optimizers, torch's RNG and the learner's extra state: (arrays, other values)."""
    arrays, plain = learner.extra_state()
    arrays["rng"] = torch.get_rng_state().numpy()
    for name, optimizer in learner._named_optimizers.items():
        # One array per value: optimizer/index of the parameter/key, such as `exp_avg`.
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                arrays[f"{name}/{index}/{key}"] = value.cpu().numpy()
    return arrays, plain


def load_learner_state(
    learner: Learner, *, arrays: dict[str, np.ndarray], plain: dict[str, Any], env_steps: int, **kwargs: Any
) -> None:
    """Take over what `learner_state` returned. Learning rates are those of the configuration, at this env step."""
    torch.set_rng_state(torch.from_numpy(arrays["rng"]))
    for name, optimizer in learner._named_optimizers.items():
        state: dict[int, dict[str, torch.Tensor]] = {}
        for path, value in arrays.items():
            # Split from the right into optimizer, index and key; arrays of other owners are skipped.
            owner, _, rest = path.rpartition("/")[0].rpartition("/")
            if owner == name:
                state.setdefault(int(rest), {})[path.rpartition("/")[2]] = torch.from_numpy(value)
        # The hyperparameters (`param_groups`) stay those of the configuration.
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    # RLlib moves its schedules after an update: the first one would use their beginning.
    for optimizer, schedule in learner._optimizer_lr_schedules.items():
        learner._set_optimizer_lr(optimizer, schedule.update(timestep=env_steps))
    learner.load_extra_state(arrays, plain, env_steps)
