"""Fixtures: one S3 server (moto) for all tests of the session, and a store on it."""

import pytest

from marl_app.store.object_store import ObjectStore
from tests.store.s3 import S3


@pytest.fixture(scope="session")
def s3():
    server = S3()
    yield server
    server.stop()


@pytest.fixture
def object_store(s3, tmp_path):
    """An empty store under a prefix that no other test uses."""
    return ObjectStore(f"{s3.url}/{tmp_path.name}", timeout_s=5, retry_s=0.5, options=s3.options)
