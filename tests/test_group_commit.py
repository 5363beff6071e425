"""What waits while one transaction commits goes together into the next."""

import asyncio
from collections.abc import Sequence

import pytest

from dicomweb_box.database import Database, GroupCommit, UniqueViolation, Writer


class Marks:
    """Writes marks, and remembers which went together."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    async def __call__(self, write: Writer, names: Sequence[str]) -> Sequence[int]:
        self.batches.append(list(names))
        for name in names:
            await write.execute("insert into mark (name, value) values (:name, '')", {"name": name})
            if name.startswith("bad"):
                raise ValueError(name)
        return [len(name) for name in names]


async def stored(database: Database) -> list[str]:
    return [row[0] for row in await database.fetch_all("select name from mark order by name")]


async def test_each_caller_gets_its_own_result(database: Database):
    commit = GroupCommit(database, Marks())

    assert await asyncio.gather(commit("a"), commit("bbb"), commit("cc")) == [1, 3, 2]
    assert await stored(database) == ["a", "bbb", "cc"]
    await commit.close()


async def test_all_that_wait_share_a_transaction_up_to_the_most(database: Database):
    marks = Marks()
    commit = GroupCommit(database, marks, most=8)

    await asyncio.gather(*(commit(f"{number:03}") for number in range(40)))

    assert [len(batch) for batch in marks.batches] == [8] * 5
    assert await stored(database) == [f"{number:03}" for number in range(40)]
    await commit.close()


async def test_more_callers_than_may_wait_are_all_served(database: Database):
    commit = GroupCommit(database, Marks(), most=2)

    await asyncio.gather(*(commit(f"{number:03}") for number in range(100)))

    assert len(await stored(database)) == 100
    await commit.close()


async def test_only_the_caller_of_a_failing_item_hears_of_it(database: Database):
    commit = GroupCommit(database, Marks())

    results = await asyncio.gather(
        *(commit(name) for name in ("a", "bad", "b", "a", "c")), return_exceptions=True
    )

    assert [type(result) for result in results] == [int, ValueError, int, UniqueViolation, int]
    assert await stored(database) == ["a", "b", "c"]
    await commit.close()


async def test_a_failing_item_alone_fails_once(database: Database):
    marks = Marks()
    commit = GroupCommit(database, marks)

    with pytest.raises(ValueError, match="bad"):
        await commit("bad")

    assert marks.batches == [["bad"]]
    assert await commit("good") == 4
    await commit.close()


async def test_a_caller_that_leaves_loses_nobody_else(database: Database):
    commit = GroupCommit(database, Marks())
    tasks = [asyncio.create_task(commit(f"{number:02}")) for number in range(30)]
    await asyncio.sleep(0.002)

    for task in tasks[::3]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    stayed = [result for number, result in enumerate(results) if number % 3]
    assert stayed == [2] * 20
    assert {f"{number:02}" for number in range(30) if number % 3} <= set(await stored(database))
    assert await commit("after") == 5
    await commit.close()


async def test_what_was_given_up_before_its_turn_is_not_written(database: Database):
    marks = Marks()
    commit = GroupCommit(database, marks)
    task = asyncio.create_task(commit("never"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    await commit("later")

    assert await stored(database) == ["later"]
    await commit.close()


async def test_closing_settles_what_waits_and_takes_no_more(database: Database):
    commit = GroupCommit(database, Marks(), most=4)
    tasks = [asyncio.create_task(commit(f"{number:02}")) for number in range(20)]
    await asyncio.sleep(0)

    await commit.close()

    assert await asyncio.gather(*tasks) == [2] * 20
    assert len(await stored(database)) == 20
    with pytest.raises(RuntimeError, match="closed"):
        await commit("late")


async def test_a_result_too_few_is_a_failure_and_not_a_loss(database: Database):
    async def forgetful(write: Writer, items: Sequence[str]) -> Sequence[int]:
        return []

    commit = GroupCommit(database, forgetful)

    results = await asyncio.gather(commit("a"), commit("b"), return_exceptions=True)

    assert [type(result) for result in results] == [RuntimeError, RuntimeError]
    await commit.close()
