"""What waits while one transaction commits goes together into the next."""

import asyncio
import threading
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


class Held(Marks):
    """Holds the first group back until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.go = threading.Event(), threading.Event()

    async def __call__(self, write: Writer, names: Sequence[str]) -> Sequence[int]:
        if not self.began.is_set():
            self.began.set()
            assert self.go.wait(60)
        return await super().__call__(write, names)


async def test_one_alone_is_written_at_once_where_the_database_can(database: Database):
    commit = GroupCommit(database, Marks())

    done = await asyncio.to_thread(commit.now, "alone")

    assert done == ((5,) if database.dialect == "sqlite" else None)
    assert await stored(database) == (["alone"] if done else [])
    assert await commit("after") == 5
    await commit.close()
    assert await asyncio.to_thread(commit.now, "late") is None


async def test_one_that_fails_at_once_leaves_nothing_and_hinders_nobody(database: Database):
    if database.dialect != "sqlite":
        pytest.skip("written at once on SQLite alone")
    commit = GroupCommit(database, Marks())

    with pytest.raises(ValueError, match="bad"):
        await asyncio.to_thread(commit.now, "bad")

    assert await asyncio.to_thread(commit.now, "good") == (4,)
    assert await stored(database) == ["good"]
    await commit.close()


async def test_what_comes_while_one_is_written_at_once_goes_together_after_it(database: Database):
    if database.dialect != "sqlite":
        pytest.skip("written at once on SQLite alone")
    held = Held()
    commit = GroupCommit(database, held)
    first = asyncio.create_task(asyncio.to_thread(commit.now, "first"))
    assert await asyncio.to_thread(held.began.wait, 60)

    assert await asyncio.to_thread(commit.now, "at once") is None
    rest = asyncio.gather(commit("b"), commit("cc"))
    closing = asyncio.create_task(commit.close())
    await asyncio.sleep(0)
    held.go.set()

    assert await first == (5,)
    assert await rest == [1, 2]
    await closing
    assert held.batches == [["first"], ["b", "cc"]]


async def test_closing_waits_for_what_is_written_at_once(database: Database):
    if database.dialect != "sqlite":
        pytest.skip("written at once on SQLite alone")
    held = Held()
    commit = GroupCommit(database, held)
    first = asyncio.create_task(asyncio.to_thread(commit.now, "first"))
    assert await asyncio.to_thread(held.began.wait, 60)

    closing = asyncio.create_task(commit.close())
    await asyncio.sleep(0)
    assert not closing.done()
    held.go.set()

    await closing
    assert await first == (5,)
