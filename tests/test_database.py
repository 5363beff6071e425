"""The same words mean the same on SQLite and PostgreSQL."""

import asyncio
import subprocess
import sys
import threading

import pytest

from dicomweb_box.database import Database, Reader, UniqueViolation, Writer, in_list
from dicomweb_box.errors import BadSetting, OutOfResources
from tests.databases import run_apart


async def set_mark(database: Database, name: str, value: str = "") -> None:
    async def work(write: Writer) -> None:
        await write.execute("insert into mark (name, value) values (:n, :v)", {"n": name, "v": value})

    await database.write(work)


async def names(database: Database) -> list[str]:
    return [row["name"] for row in await database.fetch_all("select name from mark order by name")]


async def test_it_refuses_a_url_of_another_kind():
    with pytest.raises(BadSetting):
        await Database.open("mysql://localhost/box")


async def test_values_come_back_as_they_went_in(database: Database):
    values = {"a": "Ärzte 日本 😀", "b": -(2**62), "c": memoryview(b"\x00\xff"), "d": None}

    async def work(write: Writer) -> None:
        await write.execute(
            "insert into attribute (path, vr, state, filled_to, declared_at)"
            " values (:a, 'x', 'ready', :b, '')",
            values,
        )
        await write.execute(
            "insert into instance (instance_uid, state, sop_class_uid, transfer_syntax_uid, instance_number,"
            " blob_key, size, sha256, dataset_offset, dataset_digest, metadata, metadata_dictionary, source,"
            " stored_at)"
            " values ('1', 'held', '', '', :d, 'k', 0, :c, 0, :c, :c, 0, '', '')",
            values,
        )

    await database.write(work)

    assert tuple(await database.fetch_one("select path, filled_to from attribute")) == (
        values["a"],
        values["b"],
    )
    row = await database.fetch_one("select sha256, instance_number from instance")
    assert tuple(row) == (b"\x00\xff", None)
    assert type(row[0]) is bytes


async def test_sums_and_comparisons_are_plain_numbers(database: Database):
    row = await database.fetch_one(
        "select sum(x) as total, count(*), exists (select 1), max(x) > 5, 1.5"
        " from (select 1 as x union all select 2) as n"
    )

    assert tuple(row) == (3, 2, 1, 0, 1.5)
    assert {type(value) for value in row} == {int, float}


async def test_rows_are_read_by_name_by_position_and_as_mappings(database: Database):
    await set_mark(database, "demo", "yes")

    row = await database.fetch_one("select name, value from mark")

    assert row["name"] == row[0] == "demo"
    assert dict(row) == {"name": "demo", "value": "yes"}
    assert len(row) == 2


async def test_nothing_found_is_none_and_no_rows(database: Database):
    assert await database.fetch_one("select name from mark") is None
    assert await database.fetch_value("select name from mark") is None
    assert list(await database.fetch_all("select name from mark")) == []


async def test_text_is_ordered_by_its_utf8_bytes(database: Database):
    texts = [
        "a",
        "B",
        "b",
        "A",
        "Ä",
        "ä",
        "é",
        "z",
        "Z",
        "_",
        "1",
        "",
        " ",
        "-",
        "日",
        "本",
        "😀",
        "\ufb01",
        "a b",
        "ab",
    ]
    for text in texts:
        await set_mark(database, text)

    assert await names(database) == sorted(texts, key=str.encode)
    above = await database.fetch_all("select name from mark where name > :name order by name", {"name": "a"})
    assert [row[0] for row in above] == sorted((t for t in texts if t.encode() > b"a"), key=str.encode)


async def test_like_regards_case_and_takes_a_percent_sign(database: Database):
    for name in ("Smith", "smith", "SMITH%"):
        await set_mark(database, name)

    like = "select name from mark where name like :pattern escape '!' order by name"

    assert [row[0] for row in await database.fetch_all(like, {"pattern": "S%"})] == ["SMITH%", "Smith"]
    assert [row[0] for row in await database.fetch_all(like, {"pattern": "%!%"})] == ["SMITH%"]
    assert [row[0] for row in await database.fetch_all("select name from mark where name like 'sm%'")] == [
        "smith"
    ]


async def test_only_parameters_are_taken_for_parameters(database: Database):
    row = await database.fetch_one(
        "select ':a' as \"x:a\", cast(:a as text) as once, cast(:a as text) as twice /* :c */ -- :d",
        {"a": "value", "unused": 1},
    )

    assert dict(row) == {"x:a": ":a", "once": "value", "twice": "value"}


async def test_a_list_of_values_matches_its_members_and_an_empty_one_nothing(database: Database):
    for name in ("a", "b", "c"):
        await set_mark(database, name)

    some, params = in_list("name", ["a", "c", "x"])
    none, nothing = in_list("name", [])

    rows = await database.fetch_all(f"select name from mark where name in {some} order by name", params)
    assert [row[0] for row in rows] == ["a", "c"]
    assert list(await database.fetch_all(f"select name from mark where name in {none}", nothing)) == []


async def test_fifty_that_read_before_they_write_all_succeed_and_lose_nothing(database: Database):
    await set_mark(database, "count", "0")

    async def add(write: Writer) -> None:
        count = int(await write.fetch_value("select value from mark where name = 'count'"))
        await write.execute("update mark set value = :value where name = 'count'", {"value": str(count + 1)})

    await asyncio.gather(*(database.write(add) for _ in range(50)))

    assert await database.fetch_value("select value from mark") == "50"


_ADD_FIFTY = """
import asyncio, sys
from dicomweb_box.database import Database

async def add(write):
    count = int(await write.fetch_value("select value from mark where name = 'count'"))
    await write.execute("update mark set value = :value where name = 'count'", {"value": str(count + 1)})

async def main():
    database = await Database.open(sys.argv[1])
    for _ in range(50):
        await database.write(add)
    await database.close()

asyncio.run(main())
"""


async def test_two_processes_write_at_once(database: Database, database_url: str):
    await set_mark(database, "count", "0")

    processes = [subprocess.Popen([sys.executable, "-c", _ADD_FIFTY, database_url]) for _ in range(2)]
    codes = [await asyncio.to_thread(process.wait, 60) for process in processes]

    assert codes == [0, 0]
    assert await database.fetch_value("select value from mark") == "100"


async def test_a_read_sees_one_moment(database: Database, database_url: str):
    async def write_elsewhere() -> None:
        other = await Database.open(database_url)
        await set_mark(other, "later")
        await other.close()

    async def work(read: Reader) -> tuple[int, int]:
        before = await read.fetch_value("select count(*) from mark")
        run_apart(write_elsewhere())
        return before, await read.fetch_value("select count(*) from mark")

    assert await database.read(work) == (0, 0)
    assert await names(database) == ["later"]


async def test_a_write_is_seen_by_the_next_read(database: Database):
    for number in range(30):
        await set_mark(database, f"{number:02}")
        counts = await asyncio.gather(*(database.fetch_value("select count(*) from mark") for _ in range(4)))
        assert counts == [number + 1] * 4


async def test_nothing_of_a_failed_write_stays(database: Database):
    async def work(write: Writer) -> None:
        await write.execute("insert into mark (name, value) values ('a', '')")
        raise LookupError("no")

    with pytest.raises(LookupError):
        await database.write(work)

    assert await names(database) == []
    await set_mark(database, "b")
    assert await names(database) == ["b"]


async def test_a_reader_cannot_change_anything(database: Database):
    async def work(read: Reader) -> None:
        await read.fetch_all("insert into mark (name, value) values ('a', '') returning name")

    with pytest.raises(Exception, match="read"):
        await database.read(work)

    assert await names(database) == []


async def test_a_key_that_is_taken_is_named_without_its_value(database: Database):
    await set_mark(database, "Doe^Jane")

    with pytest.raises(UniqueViolation) as refusal:
        await set_mark(database, "Doe^Jane")

    assert "mark" in str(refusal.value)
    assert "Doe" not in str(refusal.value)


async def test_an_error_does_not_quote_the_row(database: Database):
    async def work(write: Writer) -> None:
        await write.execute("insert into mark (name, value) values (:name, null)", {"name": "Doe^Jane"})

    with pytest.raises(Exception, match="value") as refusal:
        await database.write(work)

    assert "Doe" not in str(refusal.value)


async def test_a_full_disk_is_told_as_such_and_can_be_survived(database: Database):
    async def fill(write: Writer) -> None:
        if write.dialect == "postgresql":
            await write.execute("do $$ begin raise exception 'No space left' using errcode = '53100'; end $$")
        await write.fetch_value("pragma max_page_count = 1")
        for number in range(5000):
            await write.execute(
                "insert into mark (name, value) values (:n, :v)", {"n": str(number), "v": "x" * 1000}
            )

    async def make_room(write: Writer) -> None:
        await write.fetch_value("pragma max_page_count = 1000000000")

    with pytest.raises(OutOfResources):
        await database.write(fill)
    if database.dialect == "sqlite":
        await database.write(make_room)

    await set_mark(database, "after")
    assert await names(database) == ["after"]


async def test_foreign_keys_are_enforced(database: Database):
    async def work(write: Writer) -> None:
        await write.execute(
            "insert into series (study_id, series_uid, stored_at, changed_at) values (99, '1.2', '', '')"
        )

    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await database.write(work)


async def test_what_is_acknowledged_survives_a_power_cut(database: Database):
    async def settings(write: Writer) -> list[object]:
        if write.dialect == "postgresql":
            return [await write.fetch_value("show synchronous_commit")]
        return [await write.fetch_value(f"pragma {name}") for name in ("journal_mode", "synchronous")]

    # SQLite: 2 is full.
    assert await database.write(settings) in (["on"], ["wal", 2])


async def test_each_row_is_claimed_once(database: Database):
    for number in range(20):
        await set_mark(database, f"{number:02}")

    async def claim(write: Writer) -> str | None:
        return await write.fetch_value(
            "update mark set value = 'taken' where name ="
            " (select name from mark where value = '' order by name limit 1) returning name"
        )

    claimed = await asyncio.gather(*(database.write(claim) for _ in range(30)))

    assert sorted(name for name in claimed if name) == await names(database)
    assert claimed.count(None) == 10


async def test_many_rows_go_in_at_once(database: Database):
    async def work(write: Writer) -> None:
        await write.execute_many(
            "insert into mark (name, value) values (:name, :value)",
            [{"name": str(number), "value": "x"} for number in range(5000)],
        )
        await write.execute_many("delete from mark where name = :name", [])

    await database.write(work)

    assert await database.fetch_value("select count(*) from mark") == 5000


async def test_whoever_stops_waiting_leaves_the_database_usable(database: Database):
    writes = [asyncio.create_task(set_mark(database, f"{number:02}")) for number in range(20)]
    await asyncio.sleep(0)
    for task in writes[::2]:
        task.cancel()
    await asyncio.gather(*writes, return_exceptions=True)

    await set_mark(database, "after")

    assert {f"{number:02}" for number in range(1, 20, 2)} | {"after"} <= set(await names(database))


async def test_a_slow_question_does_not_hold_up_a_quick_one(database: Database):
    asked, answer = threading.Event(), threading.Event()

    async def slow(read: Reader) -> int:
        asked.set()
        if read.dialect == "sqlite":
            answer.wait(20)
        else:
            await asyncio.to_thread(answer.wait, 20)
        return int(await read.fetch_value("select count(*) from mark"))

    task = asyncio.create_task(database.read(slow))
    await asyncio.to_thread(asked.wait, 20)

    quick = [database.fetch_value("select count(*) from mark") for _ in range(20)]
    assert await asyncio.gather(*quick) == [0] * 20

    assert not task.done()
    answer.set()
    assert await task == 0


async def test_a_closed_database_says_so(database_url: str):
    database = await Database.open(database_url)
    await database.close()

    with pytest.raises(Exception, match=r"(?i)clos|not running"):
        await database.fetch_value("select 1")
