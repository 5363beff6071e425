"""What the peer cancelled is given up, and nothing else is."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from dicomweb_box.upper_layer.cancelled import Cancelled


def endless() -> tuple[Callable[[], Coroutine[Any, Any, None]], asyncio.Event]:
    """Work that never ends, and what tells that it has begun."""
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    return work, begun


async def test_work_that_ends_before_gives_what_it_gives():
    assert await Cancelled().before(lambda: asyncio.sleep(0, "found")) == "found"


async def test_work_is_given_up_when_the_peer_cancels_it_while_it_waits():
    cancelled, (work, begun) = Cancelled(), endless()

    waiting = asyncio.create_task(cancelled.before(work))
    await begun.wait()
    cancelled.set()

    assert await waiting is None
    assert waiting.cancelling() == 0


async def test_work_that_was_cancelled_already_is_not_begun():
    cancelled, (work, begun) = Cancelled(), endless()
    cancelled.set()

    assert await cancelled.before(work) is None
    assert not begun.is_set()


async def test_the_end_of_the_task_itself_is_no_cancelled_request():
    cancelled, (work, begun) = Cancelled(), endless()

    waiting = asyncio.create_task(cancelled.before(work))
    await begun.wait()
    cancelled.set()
    waiting.cancel()  # both in one turn

    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("fails", [False, True])
async def test_what_ends_in_the_turn_in_which_it_is_cancelled_has_ended(fails):
    cancelled = Cancelled()

    async def work() -> str:
        cancelled.set()
        if fails:
            raise OSError("the disk")
        return "found"

    if fails:
        with pytest.raises(OSError, match="the disk"):
            await cancelled.before(work)
    else:
        assert await cancelled.before(work) == "found"
    # Nothing of it is left for whatever the task does next.
    assert await asyncio.sleep(0, "goes on") == "goes on"
