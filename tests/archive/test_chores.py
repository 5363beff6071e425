"""The worker's steps: each at its own pace, none in another's way."""

import asyncio
from collections.abc import Callable

from dicomweb_box.archive import chores
from dicomweb_box.archive.chores import Step
from dicomweb_box.box import Box
from tests.waiting import PATIENCE, turned


async def run_until(true: Callable[[], object], box: Box, *steps: Step) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(chores.run(box, stop, steps))
    await turned(true)
    stop.set()
    await asyncio.wait_for(running, PATIENCE)


async def test_a_step_is_done_again_without_rest_while_something_is_left(box: Box) -> None:
    left = [3, 2, 1, 0]
    done = []

    async def do(box: Box) -> int:
        done.append(left[0])
        return left.pop(0)

    await run_until(lambda: not left, box, Step(name="drain", rest=60, do=do))

    assert done == [3, 2, 1, 0]


async def test_a_step_that_fails_is_tried_again_and_keeps_no_other_from_its_turn(box: Box) -> None:
    tried, done = [], []

    async def fail(box: Box) -> None:
        tried.append(1)
        raise OSError("away")

    async def work(box: Box) -> None:
        done.append(1)

    steps = Step(name="fails", rest=0.05, do=fail), Step(name="works", rest=0.05, do=work)
    await run_until(lambda: min(len(tried), len(done)) > 1, box, *steps)


async def test_a_running_step_is_finished_when_told_to_stop(box: Box) -> None:
    begun, finished = [], []

    async def slow(box: Box) -> None:
        begun.append(1)
        await asyncio.sleep(0.3)
        finished.append(1)

    await run_until(lambda: begun, box, Step(name="slow", rest=60, do=slow))

    assert finished == [1]


async def test_its_own_steps_run_on_an_empty_box(box: Box) -> None:
    for step in chores.STEPS:
        assert not await step.do(box)
