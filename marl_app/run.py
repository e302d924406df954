"""One job from its configuration to its objective: Ray, seeds, and the task."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from marl_app.config.errors import ConfigError
from marl_app.config.machine import available_cores
from marl_app.config.record import write_record
from marl_app.config.runtime_section import RuntimeConfig
from marl_app.config.schema import Config

NAMESPACE = "marl_app"


def run(config: Config) -> float:
    """Run the configured task and return its objective, which sweepers compare."""
    from marl_app.assembly.instantiate import task

    # The global generators of Python and numpy, for code that uses them.
    random.seed(config.seed)
    np.random.seed(config.seed)
    made = task(config)
    if not getattr(getattr(made, "func", made), "accepts_job", False):  # training decides later whether it accepts
        write_record(config)
    return made(config)


@contextmanager
def ray_session(config: Config) -> Iterator[None]:
    """Ray, for as long as the context lasts, and torch seeded, with one thread.

    A Ray that is there already is used, and left as it was. With `runtime.address` a cluster is joined. On this machine
    Ray's own count of CPUs only has to admit what the configuration asks for, and one more.

    Raises ConfigError if there is no such cluster.
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
    settings = {"namespace": NAMESPACE, "logging_level": logging.ERROR, "log_to_driver": True}
    if config.runtime.address is not None:
        from marl_app.cluster import join_cluster

        join_cluster(config, **settings)
    else:
        _start(config.runtime, settings)
    try:
        yield
    finally:
        ray.shutdown()


def _start(runtime: RuntimeConfig, settings: dict[str, Any]) -> None:
    import ray

    # Ray starts its workers at niceness 15: whatever else runs on the machine would starve the env runners.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # One CPU for each process, and one for the driver.
    needed = runtime.num_env_runners + runtime.num_learners + 1
    cpus = max(needed, runtime.num_cpus or available_cores())
    try:
        with _own_process_group():
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, **settings)
    except Exception as error:  # Ray raises Exception itself where a process of its does not start in time
        line = " ".join(str(error).split()).partition(". ")[0]
        raise ConfigError(
            f"Ray does not start: {line}: the machine may be too busy, or out of memory, shared memory or disk space"
        ) from error


@contextmanager
def _own_process_group() -> Iterator[None]:
    """Let the processes that Ray starts have a process group of their own.

    A signal to the whole group (SIGTERM of a cluster's scheduler, SIGHUP of a terminal) then reaches the run alone,
    which saves before it ends Ray. Without the run they end as before: the kernel signals them (PR_SET_PDEATHSIG).
    """
    from ray._private import services

    # Ray has no setting for it: its function that starts processes is replaced while Ray starts.
    start = services.ConsolePopen
    services.ConsolePopen = partial(start, process_group=0)
    try:
        yield
    finally:
        services.ConsolePopen = start
