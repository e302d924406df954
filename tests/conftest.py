"""Fixtures and order of the tests of all folders: one thread per process, one Ray per pytest process."""

import copy
import gc
import logging
import os
import signal
import tempfile

import hypothesis
import pytest
import torch
import yaml
from hydra._internal import defaults_list

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray starts its workers with niceness 15: they would wait for the tests of another pytest process.
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(
    prefix="marl_app_tests_"
)  # holds the key that signs the runs of the tests
# Properties are tested on 40 examples instead of 100: half of the time, and a fault is found some runs later at worst.
hypothesis.settings.register_profile("suite", max_examples=40)
hypothesis.settings.load_profile("suite")
# A shell starts background jobs with SIGINT ignored, and so would be all processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The longest files, longest first. `make test` gives whole files to its workers in the order of collection: a long file
# that comes last would leave the other worker idle.
LONG_FILES = (
    "tests/tasks/test_command_line.py",
    "tests/rllib/test_data_parallel.py",
    "tests/conf/test_front_door.py",
    "tests/conf/test_commands.py",
    "tests/test_cluster.py",
    "tests/test_package.py",
)


def pytest_collection_modifyitems(items):
    """Move the tests of `LONG_FILES` to the front; all others keep their order."""
    rank = {file: number for number, file in enumerate(LONG_FILES)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))


def pytest_collection_finish():
    """Let the garbage collector skip what collection made, and run less often: a fifth of a composition's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session")
def ray_here():
    """Ray with four CPUs, on any machine, from the first test that needs it to the end of the session."""
    import ray

    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    for name in ("ray", "ray.rllib", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ray.init(address="local", num_cpus=4, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(autouse=True)
def same_weights():
    """Seed torch before each test: the initial weights of networks would otherwise differ from run to run."""
    torch.manual_seed(0)


# Hundreds of tests compose a configuration, which takes a quarter of a second. Two fixtures save a third of it.


@pytest.fixture(scope="session", autouse=True)
def interpolation_maps_only_where_needed():
    """For each node of the defaults tree Hydra builds a map that only interpolations in defaults lists read.

    Nodes that have such an interpolation still get their map.
    """
    build = defaults_list._create_interpolation_map

    def build_if_needed(overrides, defaults, self_added):
        needed = any(default.is_interpolation() for default in defaults)
        return build(overrides, defaults, self_added) if needed else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(defaults_list, "_create_interpolation_map", build_if_needed)
        yield


@pytest.fixture(scope="session", autouse=True)
def yaml_is_parsed_once():
    """Hydra parses every file again for each composition; here equal texts are parsed once, and copied."""
    parse, parsed = yaml.load, {}

    def parse_once(stream, Loader):
        text = stream.read() if hasattr(stream, "read") else stream
        # Two loaders may read 1e-3 as a number and as a text. By name: OmegaConf makes a class per file.
        key = text, Loader.__qualname__
        if key not in parsed:
            parsed[key] = parse(text, Loader=Loader)
        return copy.deepcopy(parsed[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "load", parse_once)
        yield
