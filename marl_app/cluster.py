"""Joining a running Ray cluster: fails within seconds if it is unreachable, and warns about missing resources.

`ray.init` alone waits for most of a minute if nothing answers at the address. Without the warnings, a run whose nodes
cannot read its snapshots, or whose env runners exceed the CPUs, would seem to hang.
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
"""Value of `runtime.address` that leaves the choice of the cluster to Ray."""
CONNECT_S = 5.0
"""Timeout of the connection to the cluster's head."""
FOLDER_CHECK_S = 30.0
"""Timeout of the check whether the nodes have a folder."""
JOB_COPY = "_ray_pkg_"
"""Part of the path of the copy that `ray job submit --working-dir` makes on the cluster."""


def join_cluster(config: Config, **settings: Any) -> None:
    """Connect to the cluster at `runtime.address`; `settings` are passed to `ray.init`.

    Raises ConfigError, naming the key, if the cluster is unreachable, or if the run directory would be deleted with the
    job.
    """
    # 1. Refuse a run directory that would be lost with the job.
    if any(part.startswith(JOB_COPY) for part in Path(config.output_dir).absolute().parts):
        raise ConfigError(
            "hydra.run.dir: the run directory is in the job's copy of the working directory, which Ray may delete: "
            'set MARL_RUNS to a permanent folder (--runtime-env-json \'{"env_vars": {"MARL_RUNS": "/shared/runs"}}\')'
        )
    # RAY_ADDRESS takes the place of `auto`, as in Ray itself; here it is required, and checked before `ray.init` waits.
    address = config.runtime.address or AUTO
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS") or AUTO
    if address == AUTO:
        raise ConfigError(
            f"runtime.address=auto: no cluster is named, and any Ray on this machine may be another person's: {_FIX}"
        )
    key = f"runtime.address={config.runtime.address}" + (f" (RAY_ADDRESS={address})" if address != AUTO else "")
    # 2. Connect. A plain connection fails within seconds, where `ray.init` waits for most of a minute.
    _check_reachable(address, key)
    try:
        ray.init(address=address, **settings)
    except (RayError, OSError, RuntimeError, ValueError) as error:
        line = str(error).strip().partition("\n")[0].rstrip(".")
        token = "; a cluster with token authentication needs RAY_AUTH_MODE=token here" if address != AUTO else ""
        raise ConfigError(f"{key}: {line or type(error).__name__}: {_FIX}{token}") from error
    gcs_address = ray.get_runtime_context().gcs_address
    # 3. Say what will make the run wait.
    logger.info("joined the Ray cluster at %s with %d nodes", gcs_address, len(_alive()))
    for warning in cluster_warnings(config):
        logger.warning("%s", warning)


_FIX = "start a cluster with `ray start --head`, give RAY_ADDRESS=host:port of its head, or use runtime=local"


def _check_reachable(address: str, key: str) -> None:
    """Raise ConfigError if `address` is not host:port, or nothing listens there."""
    # ray://host:port, the address of Ray Client, is not accepted.
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise ConfigError(
            f"{key}: give host:port of the cluster's head, such as 10.0.0.1:6379, on a machine of the cluster"
        )
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as error:
        raise ConfigError(f"{key}: no Ray cluster answers there ({error}): {_FIX}") from error


def cluster_warnings(config: Config) -> list[str]:
    """Return one line for each problem that will make the run wait or play without opponents."""
    found = []
    runtime = config.runtime
    # One CPU for each env runner and each remote learner.
    needed, available = runtime.num_env_runners + runtime.num_learners, ray.cluster_resources().get("CPU", 0)
    if needed > available:
        found.append(
            f"runtime.num_env_runners={runtime.num_env_runners}, runtime.num_learners={runtime.num_learners}: {needed} "
            f"CPUs are needed, and the cluster has {available:g}; training begins once it has enough"
        )
    # Only store=disk has a path.
    folder = config.store.get("path")
    missing = nodes_without_folder(folder) if folder else []
    if missing:
        found.append(
            f"store.path={folder} is not on {len(missing)} of {len(_alive())} nodes ({', '.join(missing[:3])}): "
            "env runners there play without opponents; give a folder that all nodes share, or store=object_store"
        )
    return found


def nodes_without_folder(folder: str) -> list[str]:
    """Return the addresses of the nodes without this folder. Nodes that do not answer in time are omitted."""
    # One task per node, without CPUs, so that it runs even on a full node.
    check = ray.remote(num_cpus=0, max_retries=0)(os.path.isdir)
    nodes = _alive()
    placements = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    addresses = {  # the check of a node -> its address
        check.options(scheduling_strategy=placement).remote(folder): node["NodeManagerAddress"]
        for node, placement in zip(nodes, placements, strict=True)
    }
    answered, _ = ray.wait(list(addresses), num_returns=len(addresses), timeout=FOLDER_CHECK_S)
    missing = []
    for reference in answered:
        try:
            exists = ray.get(reference)
        except RayError:  # the node has just been lost
            continue
        if not exists:
            missing.append(addresses[reference])
    return sorted(missing)


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]
