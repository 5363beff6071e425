"""One started server for the run, its objects stored once, and the table of results."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from conformance import shown_objects, table
from conformance.objects import Object, cast, multipart
from conformance.server import started

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps these tests on one worker of a parallel run, so that one server serves them all."""
    for item in items:
        if item.path.is_relative_to(HERE) and not any(item.iter_markers("xdist_group")):
            item.add_marker(pytest.mark.xdist_group("conformance"))


@pytest.fixture(scope="session")
def base_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DICOMweb service under test: `--base-url`, or a server started for the run."""
    if given := request.config.getoption("--base-url"):
        yield str(given).rstrip("/")
        return
    with started(tmp_path_factory.mktemp("conformance") / "data") as server:
        yield server.dicomweb


@pytest.fixture(scope="session")
def http(base_url: str) -> Iterator[httpx.Client]:
    """Plain HTTP to the service, for what no DICOMweb client says."""
    # httpx asks for */* unless told otherwise: a test says its own Accept.
    with httpx.Client(base_url=base_url, timeout=60, headers={"Accept": "*/*"}) as client:
        yield client


@pytest.fixture(scope="session")
def client(base_url: str) -> DICOMwebClient:
    """dicomweb-client, as its users make it."""
    return DICOMwebClient(url=base_url, timeout=60)


@pytest.fixture(scope="session")
def objects(http: httpx.Client) -> dict[str, Object]:
    """Every object of the run by name, stored."""
    return _stored(http, cast())


@pytest.fixture(scope="session")
def shown(http: httpx.Client) -> dict[str, Object]:
    """What is shown by name, stored: pictures, films, tiles, reports, documents, a video."""
    return _stored(http, shown_objects.shown())


def _stored(http: httpx.Client, made: dict[str, Object]) -> dict[str, Object]:
    response = http.post(
        "/studies",
        content=multipart([one.data for one in made.values()]),
        headers={
            "Content-Type": 'multipart/related; type="application/dicom"; boundary=conformance-part',
            "Accept": "application/dicom+json",
        },
    )
    assert response.status_code == 200, response.text
    return made


def shared_data() -> Path:
    """Where shared test files would lie."""
    return Path(os.environ.get("DICOMWEB_BOX_TEST_DATA", HERE.parent.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of shared test files; skips where there is none."""
    folder = shared_data()
    if not (folder / "manifest.csv").is_file():
        pytest.skip("the folder of shared test data is not there")
    return folder


_outcomes: dict[str, str] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remembers the worst outcome of each test function over its parameters and phases."""
    file, _, function = report.nodeid.partition("::")
    if not file.startswith("conformance/"):
        return
    name = f"{Path(file).stem}::{function.partition('[')[0]}"
    rank = ("passed", "skipped", "failed")
    if rank.index(report.outcome) >= rank.index(_outcomes.get(name, "passed")):
        _outcomes[name] = report.outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the table where that was asked for."""
    if session.config.getoption("--write-conformance") and not hasattr(session.config, "workerinput"):
        table.DOCUMENT.write_text(table.render(_outcomes))
