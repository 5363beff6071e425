"""Threads that hold one thing each, and take work from the event loop."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from dicomweb_box.database.lanes import Lane, drive


@pytest.fixture
def lane() -> Iterator[Lane[str]]:
    lane = Lane(["a", "b", "c"], "test")
    yield lane
    lane.close()


async def test_work_gets_the_held_thing_and_its_arguments(lane: Lane[str]):
    assert await lane.run(lambda held, text: (held in "abc", text), "text") == (True, "text")


async def test_what_work_raises_is_raised(lane: Lane[str]):
    def fail(held: str) -> None:
        raise KeyError(held)

    with pytest.raises(KeyError):
        await lane.run(fail)


async def test_no_job_of_many_is_lost(lane: Lane[str]):
    async def ask(number: int) -> None:
        for step in range(200):
            if step % 7 == number % 7:
                await asyncio.sleep(0)
            assert await lane.run(lambda held, value: value, step) == step

    async with asyncio.timeout(120):
        await asyncio.gather(*(ask(number) for number in range(40)))


async def test_one_thing_is_never_used_twice_at_once(lane: Lane[str]):
    used: set[str] = set()

    def use(held: str) -> None:
        assert held not in used
        used.add(held)
        time.sleep(0.001)
        used.remove(held)

    await asyncio.gather(*(lane.run(use) for _ in range(50)))


async def test_jobs_behind_long_ones_are_taken_by_others(lane: Lane[str]):
    done = threading.Event()
    long = [lane.run(lambda held: done.wait(90)) for _ in range(2)]

    async with asyncio.timeout(60):
        assert await asyncio.gather(*(lane.run(lambda held: 1) for _ in range(10))) == [1] * 10

    assert not any(job.done() for job in long)
    done.set()
    assert await asyncio.gather(*long) == [True, True]


async def test_long_jobs_begin_together_where_all_are_long():
    lane = Lane(["a", "b"], "test", eager=True)
    both = threading.Barrier(2)

    await asyncio.gather(*(lane.run(lambda held: both.wait(90)) for _ in range(2)))

    lane.close()


async def test_a_job_given_up_before_its_turn_is_not_done():
    lane = Lane(["only"], "test")
    go, done = threading.Event(), []
    first = lane.run(lambda held: go.wait(90))
    second = lane.run(lambda held: done.append(held))
    second.cancel()
    go.set()
    await first
    lane.close()

    assert done == []


async def test_closing_finishes_what_is_queued_and_takes_no_more():
    lane = Lane(["a", "b"], "test")
    jobs = [lane.run(lambda held, value: value, number) for number in range(20)]

    lane.close()

    assert await asyncio.gather(*jobs) == list(range(20))
    with pytest.raises(RuntimeError, match="closed"):
        lane.run(lambda held: None)


async def test_driving_refuses_what_waits():
    async def ready() -> int:
        return 1

    assert drive(ready()) == 1
    with pytest.raises(RuntimeError, match="may await only"):
        drive(asyncio.sleep(0))
