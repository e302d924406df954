"""Fixtures and order of the tests of all folders: one thread per process, one Ray per pytest process."""

import logging
import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

# The longest files, longest first. `make test` gives whole files to its workers in the order of collection: a long file
# that comes last would leave the other worker idle.
LONG_FILES = (
    "tests/tasks/test_command_line.py",
    "tests/test_cluster.py",
)


def pytest_collection_modifyitems(items):
    """Move the tests of `LONG_FILES` to the front; all others keep their order."""
    rank = {file: number for number, file in enumerate(LONG_FILES)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))


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
