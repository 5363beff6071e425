"""Fixtures that every test may use."""

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from itertools import count
from pathlib import Path

import pytest

from dicomweb_box import setting_sources
from dicomweb_box.box import Box, now, open_box
from dicomweb_box.database import Database
from tests.databases import NotInstalled, ScratchServer, run_apart

MakeDatabaseUrl = Callable[..., str]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The one event loop that the program runs on."""
    return "asyncio"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real DICOM objects, with manifest.csv; skips where there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DICOMWEB_BOX_TEST_DATA", beside))
    if not (folder / "manifest.csv").is_file():
        pytest.skip("no shared test data: set DICOMWEB_BOX_TEST_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def scratch_server() -> Iterator[ScratchServer]:
    """A PostgreSQL of this test process; without its binaries a skip, which continuous integration fails."""
    try:
        server = ScratchServer()
    except NotInstalled as error:
        pytest.skip(str(error))
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Every test that uses a database runs on both."""
    return str(request.param)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("template") / "index.db"

    async def migrate() -> None:
        database = await Database.open(f"sqlite:///{path}")
        await database.migrate()
        await database.close()

    run_apart(migrate())
    return path


@pytest.fixture
def make_database_url(
    dialect: str, request: pytest.FixtureRequest, tmp_path: Path, migrated_sqlite: Path
) -> Iterator[MakeDatabaseUrl]:
    """Gives the url of a fresh database at each call: migrated, or empty with `migrated=False`."""
    if dialect == "sqlite":
        numbers = count(1)

        def make_sqlite(*, migrated: bool = True) -> str:
            path = tmp_path / f"database-{next(numbers)}" / "index.db"
            path.parent.mkdir()
            if migrated:
                shutil.copy(migrated_sqlite, path)
            return f"sqlite:///{path}"

        yield make_sqlite
        return
    server: ScratchServer = request.getfixturevalue("scratch_server")
    made: list[str] = []

    def make_postgresql(*, migrated: bool = True) -> str:
        made.append(server.create(migrated=migrated))
        return server.url(made[-1])

    yield make_postgresql
    for name in made:
        server.drop(name)


@pytest.fixture
def database_url(make_database_url: MakeDatabaseUrl) -> str:
    """The url of this test's own migrated database."""
    return make_database_url()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open, migrated, empty database."""
    opened = await Database.open(database_url)
    yield opened
    await opened.close()


MakeBox = Callable[..., AbstractAsyncContextManager[Box]]


@pytest.fixture
def make_box(make_database_url: MakeDatabaseUrl, tmp_path: Path) -> MakeBox:
    """Opens a box on a fresh database and folder; keyword arguments are settings, `clock` is its clock."""
    numbers = count(1)

    def make(*, clock: Callable[[], datetime] = now, **flags: object) -> AbstractAsyncContextManager[Box]:
        folder = tmp_path / f"box-{next(numbers)}"
        given = {"data": str(folder), "database_url": make_database_url(), "no_auth": True, **flags}
        return open_box(setting_sources.load(given, {}), clock=clock)

    return make


@pytest.fixture
async def box(make_box: MakeBox) -> AsyncIterator[Box]:
    """An open, empty box."""
    async with make_box() as opened:
        yield opened
