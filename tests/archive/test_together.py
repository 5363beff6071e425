"""Work done once for all who ask for it at the same time."""

import asyncio

import pytest

from dicomweb_box.archive.together import Together
from dicomweb_box.errors import Damaged, OutOfResources


class Kitchen:
    """Makes things when it is let, and counts what it began and what was given up."""

    def __init__(self) -> None:
        self.begun = self.given_up = 0
        self.going = asyncio.Event()

    async def make(self) -> str:
        self.begun += 1
        try:
            await self.going.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            await asyncio.sleep(0.02)  # what gives up may take a while
            raise
        return "made"


async def test_equal_asks_are_one_work_and_one_who_leaves_does_not_end_it() -> None:
    kitchen, works = Kitchen(), Together[str](most=5, refusal="too many")
    asks = [asyncio.create_task(works.get("name", kitchen.make)) for _ in range(10)]
    await asyncio.sleep(0.01)

    asks.pop().cancel()
    kitchen.going.set()

    assert await asyncio.gather(*asks) == ["made"] * 9
    assert kitchen.begun == 1


async def test_work_is_given_up_once_everybody_has_left() -> None:
    kitchen, works = Kitchen(), Together[str](most=5, refusal="too many")
    left = asyncio.create_task(works.get("name", kitchen.make))
    await asyncio.sleep(0.01)

    left.cancel()
    await asyncio.sleep(0.01)

    assert kitchen.given_up == 1


async def test_who_asks_while_it_is_given_up_gets_a_work_of_its_own() -> None:
    kitchen, works = Kitchen(), Together[str](most=5, refusal="too many")
    left = asyncio.create_task(works.get("name", kitchen.make))
    await asyncio.sleep(0.01)
    left.cancel()
    await asyncio.sleep(0.005)

    again = asyncio.create_task(works.get("name", kitchen.make))
    await asyncio.sleep(0.03)
    kitchen.going.set()

    assert await again == "made"
    assert (kitchen.begun, kitchen.given_up) == (2, 1)


async def test_more_works_than_allowed_are_refused() -> None:
    kitchen, works = Kitchen(), Together[str](most=1, refusal="too many")
    first = asyncio.create_task(works.get("first", kitchen.make))
    await asyncio.sleep(0.01)

    with pytest.raises(OutOfResources, match="too many"):
        await works.get("second", kitchen.make)

    kitchen.going.set()
    assert await first == "made"
    assert await works.get("second", kitchen.make) == "made"


async def test_it_tells_of_what_failed() -> None:
    failed: dict[str, BaseException] = {}
    works = Together[str](most=1, refusal="too many", failed=failed.__setitem__)

    async def fail() -> str:
        raise Damaged("a frame is damaged")

    with pytest.raises(Damaged):
        await works.get("name", fail)

    assert list(failed) == ["name"]


async def test_closing_gives_up_what_is_under_way() -> None:
    kitchen, works = Kitchen(), Together[str](most=5, refusal="too many")
    ask = asyncio.create_task(works.get("name", kitchen.make))
    await asyncio.sleep(0.01)

    await works.close()

    with pytest.raises(asyncio.CancelledError):
        await ask
    assert kitchen.given_up == 1
