"""Seeds of a learner's process.

As RLlib, but for torch's deterministic algorithms, which it turns on in every process that has a seed: on a CPU they
change nothing here, and turning them on imports torch's compiler, which takes two seconds. Env runners need no seed of
their own, since each request brings one.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from ray.rllib.utils.debug import update_global_seed_if_necessary


def seed_learner(config: Any) -> None:
    """Seed Python's, numpy's and torch's generators from the run's seed, before a learner draws its initial weights."""
    seed = config.spec.settings.seed
    # On a GPU RLlib's function, which also turns on deterministic algorithms: there they make a difference.
    if config.num_gpus_per_learner:
        update_global_seed_if_necessary("torch", seed)
        return
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
