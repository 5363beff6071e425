"""What only SQLite does."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from dicomweb_box.database import Database, Reader, Writer
from dicomweb_box.errors import BadSetting
from tests.waiting import turned


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


async def test_work_that_waits_for_something_else_is_refused(path: Path):
    database = await Database.open(f"sqlite:///{path}")

    async def work(read: Reader) -> None:
        await asyncio.sleep(0)

    async def write(write: Writer) -> None:
        await write.execute("create table t (x)")
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="may await only"):
        await database.read(work)
    with pytest.raises(RuntimeError, match="may await only"):
        await database.write(write)

    assert await database.fetch_value("select count(*) from sqlite_schema") == 0
    await database.close()


async def test_closing_leaves_one_complete_file(path: Path):
    database = await Database.open(f"sqlite:///{path}")
    await database.migrate()
    await database.close()

    assert not path.with_name("index.db-wal").exists()
    plain = sqlite3.connect(path)
    assert plain.execute("pragma integrity_check").fetchone() == ("ok",)
    plain.close()


async def test_the_log_is_moved_into_the_database_beside_the_writer(path: Path):
    database = await Database.open(f"sqlite:///{path}")

    async def grow(write: Writer) -> None:
        await write.execute("create table t as select randomblob(1000000) as x")

    await database.write(grow)
    await turned(lambda: path.stat().st_size > 1_000_000)

    await database.close()


async def test_a_file_that_is_no_database_is_refused(path: Path):
    path.write_bytes(b"something else entirely, long enough to be read as a header" * 100)

    with pytest.raises(BadSetting, match="not a database"):
        await Database.open(f"sqlite:///{path}")


async def test_a_folder_that_is_not_there_is_told(path: Path):
    with pytest.raises(BadSetting, match="cannot be opened"):
        await Database.open(f"sqlite:///{path.parent}/nowhere/index.db")


async def test_only_the_owner_may_read_it_and_its_name_may_be_any(path: Path):
    path = path.with_name("a #1 100%25?.db")
    database = await Database.open(f"sqlite:///{path}")
    await database.migrate()

    files = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]

    assert {file.name.removeprefix(path.name) for file in files} == {"", "-wal", "-shm", ".lock"}
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    await database.close()


async def test_every_commit_changes_the_moment_and_nothing_else_does(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'index.db'}"
    database, other = await Database.open(url), await Database.open(url)
    try:
        await database.migrate()
        before = database.moment()
        await database.fetch_value("select count(*) from mark")
        assert database.moment() == before

        await database.write(lambda w: w.execute("insert into mark (name, value) values ('a', '1')"))
        between = database.moment()
        await other.write(lambda w: w.execute("insert into mark (name, value) values ('b', '1')"))

        assert len({before, between, database.moment()}) == 3
    finally:
        await other.close()
        await database.close()
