"""One job from its configuration to its objective: Ray, seeds, and the task."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from marl_app.config.schema import Config, available_cores

NAMESPACE = "marl_app"


def run(config: Config) -> float:
    """Run the configured task and return its objective, which sweepers compare."""
    from marl_app.build.leaves import task

    random.seed(config.seed)
    np.random.seed(config.seed)
    return task(config)(config)


@contextmanager
def ray_session(config: Config) -> Iterator[None]:
    """Ray, for as long as the context lasts, and torch seeded, with one thread.

    A Ray that is there already is used, and left as it was. On this machine Ray's own count of CPUs only has to admit
    what the configuration asks for, and one more.
    """
    import ray
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    if ray.is_initialized():
        yield
        return
    for name in ("ray", "ray.rllib", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Ray starts its workers at niceness 15: whatever else runs on the machine would starve the env runners.
    os.environ.setdefault("RAY_worker_niceness", "0")
    runtime = config.runtime
    needed = runtime.num_env_runners + runtime.num_learners + 1
    ray.init(
        address="local",
        num_cpus=max(needed, runtime.num_cpus or available_cores()),
        include_dashboard=False,
        namespace=NAMESPACE,
        logging_level=logging.ERROR,
        log_to_driver=True,
    )
    try:
        yield
    finally:
        ray.shutdown()
