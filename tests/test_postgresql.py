"""What only PostgreSQL does."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from dicomweb_box.database import Database, Reader, Writer
from dicomweb_box.errors import BadSetting
from tests.databases import ScratchServer


@pytest.fixture
def url(scratch_server: ScratchServer) -> Iterator[str]:
    name = scratch_server.create()
    yield scratch_server.url(name)
    scratch_server.drop(name)


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = await Database.open(url)
    yield opened
    await opened.close()


async def test_a_database_that_is_not_there_is_told(scratch_server: ScratchServer):
    with pytest.raises(BadSetting, match="cannot be opened"):
        await Database.open(scratch_server.url("nowhere"))
    with pytest.raises(BadSetting, match="cannot be opened"):
        await Database.open("postgresql://box@/box?host=/nowhere")


async def test_a_database_of_another_encoding_is_refused(scratch_server: ScratchServer):
    scratch_server.ask(
        "create database latin template template0 encoding 'SQL_ASCII' locale_provider libc locale 'C'"
    )

    with pytest.raises(BadSetting, match="UTF8"):
        await Database.open(scratch_server.url("latin"))


async def test_work_is_done_again_after_a_serialization_failure(database: Database):
    attempts = []

    async def work(write: Writer) -> int:
        attempts.append(1)
        if len(attempts) < 3:
            await write.execute("do $$ begin raise exception 'again' using errcode = '40001'; end $$")
        return len(attempts)

    assert await database.write(work) == 3


async def test_a_lost_connection_is_replaced(database: Database, url: str):
    await database.fetch_value("select 1")
    other = await asyncpg.connect(url)
    await other.execute(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    await other.close()
    # Until the loop has heard that the connection is gone, a question on it fails.
    await asyncio.sleep(0.1)

    assert await database.fetch_value("select count(*) from mark") == 0


async def test_more_questions_at_once_than_connections_are_kept_are_each_answered(database: Database):
    async def asked(number: int) -> int:
        return int(await database.fetch_value("select cast(:n as bigint) from pg_sleep(0.01)", {"n": number}))

    for _ in range(2):
        assert await asyncio.gather(*(asked(number) for number in range(20))) == list(range(20))


async def test_a_connection_is_of_use_after_a_question_on_it_failed_or_was_given_up(database: Database):
    with pytest.raises(asyncpg.PostgresError):
        await database.fetch_value("select 1 / 0")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(database.fetch_value("select 1 from pg_sleep(10)"), 0.05)

    assert await asyncio.gather(*(database.fetch_value("select 1") for _ in range(4))) == [1] * 4


async def test_a_question_alone_keeps_its_plan_and_a_transaction_plans_with_the_values(database: Database):
    async def mode(reader: Reader) -> str:
        return str(await reader.fetch_value("select current_setting('plan_cache_mode')"))

    assert await mode(database) == "force_generic_plan"
    assert await database.read(mode) == "force_custom_plan"
    assert await database.write(mode) == "force_custom_plan"
    assert await mode(database) == "force_generic_plan"


async def test_the_owner_of_a_database_who_is_no_superuser_can_migrate_it(scratch_server: ScratchServer):
    name = scratch_server.create(migrated=False)
    scratch_server.ask("create role plain login", f"alter database {name} owner to plain")
    database = await Database.open(scratch_server.url(name, user="plain"))

    assert await database.migrate()

    assert await database.fetch_value("select count(*) from study where patient_name like '%ABC%'") == 0
    await database.close()
    scratch_server.drop(name)


async def test_a_change_tells_its_transaction(database: Database):
    insert = (
        "insert into change (at, kind, realm, study_uid, source, actor)"
        " values ('', 'stored', 'main', '1', '', '')"
    )

    async def work(write: Writer) -> None:
        await write.execute(insert)
        await write.execute(insert)

    await database.write(work)

    row = await database.fetch_one(
        "select count(distinct txid) as transactions, count(*) as rows from change"
        " where txid < pg_snapshot_xmin(pg_current_snapshot())"
    )
    assert dict(row) == {"transactions": 1, "rows": 2}
