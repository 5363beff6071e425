"""Each migration is applied once, wholly or not at all."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dicomweb_box import setting_sources
from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING
from dicomweb_box.archive.query import search
from dicomweb_box.box import open_box
from dicomweb_box.database import Database, Writer
from dicomweb_box.database.migrations import FOLDER, migrate
from dicomweb_box.dicom.matching import from_parameters
from dicomweb_box.errors import BadSetting


@pytest.fixture
async def empty(make_database_url: Callable[..., str]) -> AsyncIterator[Database]:
    database = await Database.open(make_database_url(migrated=False))
    yield database
    await database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "migrations"
    made.mkdir()
    (made / "0001_first.sql").write_text(
        "create table first (x text);\ninsert into first (x) values ('a;b');\n"
    )
    (made / "0002_twin.sqlite.sql").write_text(
        "create table second (x text);\n"
        "create trigger copy after insert on first begin\n"
        "    insert into second (x) values (new.x);\n"
        "    update second set x = x || '!';\n"
        "end;\n"
    )
    (made / "0002_twin.pg.sql").write_text(
        "create table second (x text);\n"
        "create function copy() returns trigger language plpgsql as $$ begin\n"
        "    insert into second (x) values (new.x || '!'); return null;\n"
        "end $$;\n"
        "create trigger copy after insert on first for each row execute function copy();\n"
    )
    return made


async def test_an_empty_database_gets_every_migration_and_a_full_one_none(empty: Database):
    applied = await empty.migrate()

    assert applied[0] == "0001_archive"
    assert await empty.migrate() == []
    assert await empty.fetch_value("select count(*) from schema_migration") == len(applied)
    assert await empty.fetch_value("select count(*) from study") == 0


async def test_migrations_run_in_order_each_dialect_with_its_own_twin(empty: Database, folder: Path):
    assert await migrate(empty, folder) == ["0001_first", "0002_twin"]

    await empty.write(lambda write: write.execute("insert into first (x) values ('new')"))
    assert await empty.fetch_value("select x from second") == "new!"
    recorded = await empty.fetch_all(
        "select name, length(digest), applied_at from schema_migration order by name"
    )
    assert [(row[0], row[1]) for row in recorded] == [("0001_first", 64), ("0002_twin", 64)]
    assert all(len(row["applied_at"]) == 20 and row["applied_at"].endswith("Z") for row in recorded)


async def test_a_later_migration_is_applied_alone(empty: Database, folder: Path):
    await migrate(empty, folder)
    (folder / "0003_more.sql").write_text("create table third (x text)")

    assert await migrate(empty, folder) == ["0003_more"]
    assert await empty.fetch_value("select count(*) from first") == 1


async def test_a_failing_migration_leaves_nothing_of_itself(empty: Database, folder: Path):
    (folder / "0003_broken.sql").write_text(
        "create table third (x text);\ninsert into nowhere (x) values (1);\n"
    )

    with pytest.raises(Exception, match="nowhere"):
        await migrate(empty, folder)

    (folder / "0003_broken.sql").write_text("create table third (x text);\n")
    assert await migrate(empty, folder) == ["0003_broken"]


async def test_a_changed_migration_is_refused(empty: Database, folder: Path):
    await migrate(empty, folder)
    (folder / "0001_first.sql").write_text("create table first (y text);\n")

    with pytest.raises(BadSetting, match="0001_first"):
        await migrate(empty, folder)


async def test_a_database_newer_than_the_program_is_refused(empty: Database, folder: Path):
    (folder / "0003_future.sql").write_text("create table third (x text);\n")
    await migrate(empty, folder)
    (folder / "0003_future.sql").unlink()

    with pytest.raises(BadSetting, match="0003_future"):
        await migrate(empty, folder)


async def test_several_that_migrate_at_once_apply_each_migration_once(make_database_url: Callable[..., str]):
    url = make_database_url(migrated=False)
    databases = [await Database.open(url) for _ in range(4)]

    applied = await asyncio.gather(*(database.migrate() for database in databases))

    assert sorted(name for names in applied for name in names) == sorted(
        row[0] for row in await databases[0].fetch_all("select name from schema_migration")
    )
    for database in databases:
        await database.close()


_MIGRATE = """
import asyncio, sys
from dicomweb_box.database import Database

async def main():
    database = await Database.open(sys.argv[1])
    print(len(await database.migrate()))
    await database.close()

asyncio.run(main())
"""


async def test_several_processes_migrate_at_once(make_database_url: Callable[..., str]):
    url = make_database_url(migrated=False)
    processes = [
        subprocess.Popen([sys.executable, "-c", _MIGRATE, url], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]

    counts = [int((await asyncio.to_thread(process.communicate, None, 60))[0]) for process in processes]

    database = await Database.open(url)
    assert sum(counts) == await database.fetch_value("select count(*) from schema_migration")
    await database.close()


async def _insert_old_studies(write: Writer) -> None:
    """Forty studies, one on the second of each quarter, as rows of the first migration."""
    for number in range(40):
        day = f"{2010 + number // 4}{number % 4 * 3 + 1:02}02"
        name = ("adams^ann", "byrne^bo=阿部^葉", "cole^cy")[number % 3]
        answer = f',"00080090":{{}},"00100010":{{"vr":"PN"}},"0020000D":{{"vr":"UI","Value":["1.{number}"]}}'
        await write.execute(
            "insert into study (study_uid, patient_name, study_date, answer, stored_at, changed_at)"
            " values (:uid, :name, :day, :answer, '', '')",
            {"uid": f"1.{number}", "name": name, "day": day, "answer": '{"00080005":{}' + answer + "}"},
        )
        await write.execute(
            "insert into study_day (realm, study_date, study_count) values ('main', :day, 1)", {"day": day}
        )
    await write.execute(
        "insert into study_modality (study_id, modality, study_date, series_count)"
        " select id, 'CT', study_date, 1 from study"
    )


async def test_studies_of_an_older_schema_are_found_by_name_and_modality_and_on_deep_pages(
    make_database_url: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dicomweb_box.archive.search_days._DEEP", 1)
    first = tmp_path / "first"
    first.mkdir()
    for path in FOLDER.glob("0001_*"):
        (first / path.name).write_text(path.read_text())
    url = make_database_url(migrated=False)
    database = await Database.open(url)
    await migrate(database, first)
    await database.write(_insert_old_studies)
    await database.close()

    async def found(*pairs: tuple[str, str]) -> list[int]:
        query, _ = from_parameters("study", pairs)
        page = await search(box, query, scope=EVERYTHING, actor=ANONYMOUS)
        return [int(row.split(b'"1.')[-1].split(b'"')[0]) for row in page.rows]

    async with open_box(setting_sources.load({"data": tmp_path / "data", "database_url": url}, {})) as box:
        assert await found(("PatientName", "Byr*"), ("limit", "4")) == [37, 34, 31, 28]
        assert await found(("PatientName", "*YRN*"), ("offset", "10")) == [7, 4, 1]
        assert await found(("PatientName", "阿部*"), ("limit", "2")) == [37, 34]
        assert await found(("limit", "3"), ("offset", "30")) == [9, 8, 7]
        of_years = (("ModalitiesInStudy", "CT"), ("StudyDate", "20110101-20121231"))
        assert await found(*of_years, ("limit", "3"), ("offset", "2")) == [9, 8, 7]


async def columns(database: Database) -> set[tuple[str, str, int]]:
    """Table, column, whether it may be null; but for what is of one database alone: text search, and
    PostgreSQL's transaction ids and the table that it chooses pages from.
    """
    if database.dialect == "sqlite":
        rows = await database.fetch_all(
            'select t.name, c.name, c."notnull" = 0 and c.pk = 0'
            " from sqlite_schema t, pragma_table_info(t.name) c where t.type = 'table'"
            " and t.name not like 'study!_text%' escape '!'"
            " and t.name not like 'study!_words%' escape '!' and t.name <> 'sqlite_sequence'"
        )
    else:
        rows = await database.fetch_all(
            "select table_name, column_name, is_nullable = 'YES' from information_schema.columns"
            " where table_schema = 'public' and column_name <> 'txid'"
            " and table_name not in ('study_brief', 'study_words')"
        )
    return {tuple(row) for row in rows}


async def indexes(database: Database) -> set[str]:
    if database.dialect == "sqlite":
        sql = "select name from sqlite_schema where type = 'index' and sql is not null"
    else:
        sql = (
            "select indexname from pg_indexes where schemaname = 'public'"
            " and indexname not like '%!_pkey' escape '!' and indexname not like '%!_key' escape '!'"
        )
    own = ("study_text", "study_brief", "study_words", "change_by_transaction")
    return {row[0] for row in await database.fetch_all(sql) if not row[0].startswith(own)}


async def test_both_dialects_have_the_same_tables_columns_and_indexes(
    database: Database, migrated_sqlite: Path
):
    other = await Database.open(f"sqlite:///{migrated_sqlite}")

    assert await columns(database) == await columns(other)
    assert await indexes(database) == await indexes(other)

    await other.close()
