"""One S3-speaking server for all tests of the session that need it; one that is stopped is started again."""

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
    """An empty store in a prefix of its own."""
    return ObjectStore(f"{s3.url}/{tmp_path.name}", timeout_s=5, retry_s=0.5, options=s3.options)
