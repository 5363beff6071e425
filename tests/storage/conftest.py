"""A store of each kind; every test that asks for `store` runs on both."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomweb_box.storage import BlobStore, open_store
from tests.storage import stores


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    with stores.s3_server() as endpoint:
        stores.make_bucket(endpoint)
        yield endpoint


@pytest.fixture(params=["local", "cloud"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    if request.param == "local":
        opened = open_store(tmp_path / "blobs")
    else:
        opened = stores.cloud_store(request.getfixturevalue("s3"), tmp_path / "spool", uuid.uuid4().hex)
    yield opened
    opened.close()
