"""What `auto` stands for: cores by affinity and quota, and the choice of processes."""

import os
import subprocess
import sys

import pytest

from marl_app.config import machine, runtime_section
from marl_app.config.compose import load
from marl_app.config.errors import ConfigError
from marl_app.config.machine import Machine, chosen_size, cores_of_quota

RUN = {"rows": 1024, "matches": 1024, "most_learners": None}  # as the default league


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000", None),  # no limit
        ("200000 100000", 2),
        ("150000 100000", 1),  # two busy processes would wait for each other
        ("50000 100000", 1),  # half a core
        ("400000 50000", 8),
        ("-1 100000", None),  # version 1 without a limit
        ("", None),  # no such file
        (" ", None),
        ("100000", None),
    ],
)
def test_cores_of_a_quota(text, cores):
    assert cores_of_quota(text) == cores


@pytest.mark.parametrize("version", [1, 2])
def test_the_lowest_limit_of_the_control_groups_counts(monkeypatch, tmp_path, version):
    # A pod with three cores, in which a container may use two.
    folder = tmp_path / ("cpu/pod/container" if version == 1 else "pod/container")
    folder.mkdir(parents=True)
    for place, cores in ((folder, 2), (folder.parent, 3)):
        if version == 1:
            (place / "cpu.cfs_quota_us").write_text(f"{cores * 100_000}\n")
            (place / "cpu.cfs_period_us").write_text("100000\n")
        else:
            (place / "cpu.max").write_text(f"{cores * 100_000} 100000\n")
    line = "4:cpu,cpuacct:/pod/container" if version == 1 else "0::/pod/container"
    text = machine._text
    monkeypatch.setattr(machine, "GROUPS", tmp_path)
    monkeypatch.setattr(machine, "_text", lambda path: line if str(path) == "/proc/self/cgroup" else text(path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    assert machine.available_cores() == 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5})
    assert machine.available_cores() == 1


def test_a_memory_limit_below_that_of_the_machine(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    text = machine._text
    monkeypatch.setattr(machine, "GROUPS", tmp_path)
    monkeypatch.setattr(machine, "_text", lambda path: "0::/" if str(path) == "/proc/self/cgroup" else text(path))
    assert machine.available_memory() == 2**30
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.available_memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("cores", "env_runners", "learners"),
    [
        (1, 0, 0),  # the driver plays and trains
        (2, 1, 0),
        (3, 0, 2),  # learners that play, and a core for the driver
        (5, 0, 4),
        (8, 0, 4),  # a minibatch of 1,024 rows is enough for four
        (16, 8, 4),  # the others play: two env runners for each learner
    ],
)
def test_processes_of_a_run(cores, env_runners, learners):
    size = chosen_size(Machine(cores), **RUN)
    assert (size.num_env_runners, size.num_learners, size.num_gpus_per_learner) == (env_runners, learners, 0)
    assert size.num_env_runners + size.num_learners + 1 <= max(2, cores)
    assert size.why.startswith(f"{cores} core")


def test_numbers_that_are_given_are_kept():
    def processes(cores, **given):
        size = chosen_size(Machine(cores), **RUN, **given)
        return size.num_env_runners, size.num_learners

    assert processes(16, env_runners=0) == (0, 0)
    assert processes(16, env_runners=3) == (3, 0)
    assert processes(2, learners=2) == (0, 2)
    assert processes(2, learners=1) == (0, 1)
    assert processes(16, learners=0) == (15, 0)
    assert processes(16, env_runners=3, learners=3) == (3, 3)


def test_algorithms_of_one_process_get_env_runners():
    sizes = [chosen_size(Machine(cores), rows=1024, matches=64, most_learners=1) for cores in (1, 2, 4, 16)]
    # 64 matches are enough for four processes.
    assert [(size.num_env_runners, size.num_learners) for size in sizes] == [(0, 0), (1, 0), (3, 0), (4, 0)]


def test_gpus():
    def size(gpus, **changes):
        found = chosen_size(Machine(16, gpus), **{**RUN, "rows": 8192, **changes})
        return found.num_env_runners, found.num_learners, found.num_gpus_per_learner

    assert size(1) == (15, 0, 1)  # the driver trains on it
    assert size(2) == (14, 2, 1)  # a learner for each, and an equal number of env runners for each
    assert size(2, most_learners=1) == (15, 0, 1)
    assert size(2, gpus_per_learner=0) == (0, 15, 0)


def test_matches_and_batches_do_not_depend_on_the_processes(monkeypatch):
    for cores in (1, 2, 3, 6, 7, 16, 60):
        monkeypatch.setattr(runtime_section, "this_machine", lambda cores=cores: Machine(cores))
        config = load([])
        assert config.fragment_steps == 32
        assert config.batch_steps == pytest.approx(32768, rel=0.03)  # 1,024 matches do not divide by 5
        assert config.minibatch_rows == 1024
        assert config.runtime.chosen.startswith(f"runtime: {cores} core")
    assert not load(["runtime.num_env_runners=1", "runtime.num_learners=0", "runtime.num_envs_per_env_runner=64",
                     "runtime.num_gpus_per_learner=0"]).runtime.chosen  # fmt: skip


def test_wrong_numbers_name_their_key(monkeypatch):
    monkeypatch.setattr(runtime_section, "this_machine", lambda: Machine(4))
    for key in ("num_env_runners", "num_learners", "num_envs_per_env_runner"):
        with pytest.raises(ConfigError, match=f"runtime.{key}=all is not a whole number or auto"):
            load([f"runtime.{key}=all"])
    with pytest.raises(ConfigError, match="runtime.num_learners=3: with 2 env runners some learners have"):
        load(["runtime.num_learners=3", "runtime.num_env_runners=2"])
    with pytest.raises(ConfigError, match="runtime.num_learners=5 is more than 4, the cores of this machine"):
        load(["runtime.num_learners=5"])
    with pytest.raises(ConfigError, match="runtime.num_learners=1: the driver keeps this algorithm's replay buffer"):
        load(["+experiment=qmix", "env=two_step", "runtime.num_learners=1", "runtime.num_env_runners=0"])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_affinity_counts_for_real():
    core = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{core}}})\n"
    code += "from marl_app.config.compose import load; print(load([]).runtime.chosen)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.startswith("runtime: 1 core: the driver plays and trains (num_env_runners=0, num_learners=0")
