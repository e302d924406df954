"""The machine that a run finds, and how it is used: what `auto` stands for in `runtime`.

Cores count as far as this process may use them: by affinity (`taskset`, Slurm) and by the quota of its control group
(Docker's `--cpus`, Kubernetes' limits). GPUs are the devices that are there, unless CUDA_VISIBLE_DEVICES hides them or
torch was installed without CUDA; torch itself is not imported here, since that takes seconds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

AUTO = "auto"
GROUPS = Path("/sys/fs/cgroup")
ROWS_PER_LEARNER = 256
"""Rows of a minibatch below which another learner saves less time than its all-reduce takes."""
MATCHES_PER_PROCESS = 16
"""Matches below which a step of an environment and a forward pass cost about the same for one match less."""
LIMITLESS = 1 << 60
"""Bytes: control groups of version 1 report a number near 2**63 where there is no limit."""


@dataclass(frozen=True)
class Machine:
    """Cores, GPUs, and bytes of memory that this process may use."""

    cores: int
    gpus: int = 0
    memory: int = LIMITLESS


@dataclass(frozen=True)
class Size:
    """Numbers of processes; GPUs of each learner. `why` says where they come from."""

    num_env_runners: int
    num_learners: int
    num_gpus_per_learner: float
    why: str


def this_machine() -> Machine:
    """Return what this process may use now."""
    return Machine(available_cores(), available_gpus(), available_memory())


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    # By affinity; macOS has none.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # By quota: version 2 of control groups, then version 1.
    quotas = [cores_of_quota(_text(group / "cpu.max")) for group in _own_groups("")]
    quotas += [
        cores_of_quota(f"{_text(group / 'cpu.cfs_quota_us')} {_text(group / 'cpu.cfs_period_us')}")
        for group in _own_groups("cpu")
    ]
    return min([cores, *(quota for quota in quotas if quota is not None)])


def cores_of_quota(text: str) -> int | None:
    """Return the whole cores, at least 1, of a quota "<microseconds> <period>" of CPU time; None if it is no limit.

    `cpu.max` says `max` without a limit, and version 1 of control groups -1.
    """
    quota, _, period = text.strip().partition(" ")
    if not (quota.isdecimal() and period.strip().isdecimal() and int(period)):
        return None
    return max(1, int(quota) // int(period))


def available_memory() -> int:
    """Return the bytes of memory of this machine, or of the control group if that may use less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    texts = [_text(group / "memory.max") for group in _own_groups("")]
    texts += [_text(group / "memory.limit_in_bytes") for group in _own_groups("memory")]
    return min([*limits, *(int(text) for text in texts if text.isdecimal() and int(text) < LIMITLESS)])


def available_gpus() -> int:
    """Return the number of NVIDIA GPUs that torch can use."""
    try:
        if version("torch").endswith("+cpu"):
            return 0
    except PackageNotFoundError:
        return 0
    # /dev/nvidia0, /dev/nvidia1, ...; without /dev/nvidiactl and others.
    devices = len([path for path in Path("/dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdecimal()])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return devices if visible is None else min(devices, len([name for name in visible.split(",") if name.strip()]))


def chosen_size(
    machine: Machine, *, rows: int, matches: int, most_learners: int | None, env_runners: int | None = None,
    learners: int | None = None, gpus_per_learner: float | None = None,
) -> Size:  # fmt: skip
    """Return the processes of a run on a machine; numbers that are given are kept.

    rows: of a minibatch. matches: that are played together. most_learners: what the algorithm can use; None = any.

    - One core plays and trains in one process.
    - A learner in the driver, and env runners: with two cores; for algorithms that train in one process; and
      with one GPU, which the driver trains on.
    - More cores: learners that play their own matches, on all cores but the driver's. More of them than minibatches
      have rows for would wait for each other: then the other cores play for them.
    - Several GPUs: a learner for each, and env runners on the cores.
    """
    cores = machine.cores
    most_playing = max(1, matches // MATCHES_PER_PROCESS)
    # With a given number of GPUs per learner: 1 if learners train on GPUs, else 0.
    gpus = machine.gpus if gpus_per_learner is None else int(bool(gpus_per_learner))
    found = f"{cores} core{'s' * (cores > 1)}" + (f", {machine.gpus} GPUs" if machine.gpus else "")
    # 1. Learners. An algorithm that limits their number trains in the driver.
    if learners is None:
        most = max(1, rows // ROWS_PER_LEARNER) if most_learners is None else 0
        if machine.gpus > 1 and gpus and most_learners is None:
            # Several GPUs: one learner each.
            learners = min(machine.gpus, most)
        else:
            # Only cores: one for the driver, and the others train and play. With a GPU the driver trains.
            learners = min(cores - 1, most) if cores > 2 and not gpus and env_runners is None and most > 1 else 0
    # 2. Env runners.
    if env_runners is None:
        # One core, or learners on all other cores: these play the matches.
        if cores == 1 or (learners and not gpus and cores - 1 <= learners):
            env_runners = 0
        else:
            env_runners = min(cores - 1 - (0 if gpus else learners), most_playing)
            # A multiple of the learners, so that each gets the experience of as many env runners.
            env_runners = max(1, env_runners) if learners < 2 else env_runners // learners * learners
    # 3. GPUs.
    if gpus_per_learner is None:
        gpus_per_learner = 1 if gpus else 0
    return Size(env_runners, learners, gpus_per_learner, f"{found}: {_sentence(env_runners, learners)}")


def _sentence(env_runners: int, learners: int) -> str:
    trains = f"{learners} learner{'s' * (learners > 1)}" if learners else "the driver"
    train = "train" if learners > 1 else "trains"
    if not env_runners:
        return f"{trains} {'play' if learners > 1 else 'plays'} and {train}"
    return f"{env_runners} env runner{'s play' if env_runners > 1 else ' plays'}, {trains} {train}"


def _own_groups(controller: str) -> list[Path]:
    """Return the folders of this process's control group and of those above it; `controller`: "" for version 2."""
    # Lines "ID:controllers:path"; of version 2 there is one, with an empty list of controllers.
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            root = GROUPS / controller
            own = root / path.lstrip("/")
            # The limits of the groups above count too.
            return [own, *(parent for parent in own.parents if parent == root or root in parent.parents)]
    return []


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
