"""Joining a Ray cluster that runs already: found within seconds, or refused; and what does not fit is said in a line.

`ray.init` alone waits for most of a minute where nobody answers. A run whose machines do not see its snapshots, or
whose env runners find no room, would only seem to hang.
"""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from marl_app.config.errors import ConfigError
from marl_app.config.schema import Config

logger = logging.getLogger(__name__)

AUTO = "auto"
CONNECT_S = 5.0
LOOK_S = 30.0
"""How long a node may take to say whether it sees a folder."""
JOB_COPY = "_ray_pkg_"
"""In the path of the copy that `ray job submit --working-dir` makes of a folder on the cluster."""


def join_cluster(config: Config, **settings: Any) -> None:
    """Connect to the cluster at `runtime.address`; `settings` are `ray.init`'s.

    Raises ConfigError, naming the key, if there is none, or if the run directory would be deleted with the job.
    """
    if any(part.startswith(JOB_COPY) for part in Path(config.output_dir).absolute().parts):
        raise ConfigError(
            "hydra.run.dir: the run directory lies in the job's copy of the working directory, which Ray may delete: "
            'set MARL_RUNS to a folder that stays (--runtime-env-json \'{"env_vars": {"MARL_RUNS": "/shared/runs"}}\')'
        )
    address = config.runtime.address or AUTO
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS") or AUTO
    key = f"runtime.address={config.runtime.address}" + (f" (RAY_ADDRESS={address})" if address != AUTO else "")
    _knock(address, key)
    try:
        ray.init(address=address, **settings)
    except (RayError, OSError, RuntimeError, ValueError) as error:
        line = str(error).strip().partition("\n")[0].rstrip(".")
        token = "; a cluster that asks for a token needs RAY_AUTH_MODE=token here" if address != AUTO else ""
        raise ConfigError(f"{key}: {line or type(error).__name__}: {_FIX}{token}") from error
    # `auto` takes any Ray that it finds on this machine, also that of another run: which one it is has to be seen.
    place = ray.get_runtime_context().gcs_address
    logger.info("joined the Ray cluster at %s, of %d nodes", place, len(_alive()))
    for warning in cluster_warnings(config):
        logger.warning("%s", warning)


_FIX = "start a cluster with `ray start --head`, give RAY_ADDRESS=host:port of its head, or use runtime=local"


def _knock(address: str, key: str) -> None:
    """ConfigError unless somebody answers at `address`, if it names a place."""
    if address == AUTO:
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise ConfigError(f"{key}: give host:port of the cluster's head, as 10.0.0.1:6379, on a machine of the cluster")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as error:
        raise ConfigError(f"{key}: no Ray cluster answers there ({error}): {_FIX}") from error


def cluster_warnings(config: Config) -> list[str]:
    """What will make the run wait or play without opponents, in a line each."""
    found = []
    runtime = config.runtime
    needed, there = runtime.num_env_runners + runtime.num_learners, ray.cluster_resources().get("CPU", 0)
    if needed > there:
        found.append(
            f"runtime.num_env_runners={runtime.num_env_runners}, runtime.num_learners={runtime.num_learners}: {needed} "
            f"CPUs are needed, and the cluster has {there:g}; training begins when there is room for all of them"
        )
    folder = config.store.get("path")
    blind = nodes_without_folder(folder) if folder else []
    if blind:
        found.append(
            f"store.path={folder} is not on {len(blind)} of {len(_alive())} nodes ({', '.join(blind[:3])}): "
            "env runners there play without opponents; give a folder that all nodes share, or store=object_store"
        )
    return found


def nodes_without_folder(folder: str) -> list[str]:
    """The addresses of nodes where there is no such folder."""
    look = ray.remote(num_cpus=0, max_retries=0)(os.path.isdir)
    nodes = _alive()
    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    asked = {
        look.options(scheduling_strategy=place).remote(folder): node["NodeManagerAddress"]
        for node, place in zip(nodes, places, strict=True)
    }
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_S)
    blind = []
    for reference in answered:
        try:
            there = ray.get(reference)
        except RayError:  # the node has just gone
            continue
        if not there:
            blind.append(asked[reference])
    return sorted(blind)


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]
