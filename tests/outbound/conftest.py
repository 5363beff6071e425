"""A box whose clock tests move."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from dicomweb_box.box import Box
from tests.conftest import MakeBox
from tests.outbound.queueing import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def timed(make_box: MakeBox, clock: Clock) -> AsyncIterator[Box]:
    """An open, empty box at the clock's time."""
    async with make_box() as box:
        yield replace(box, clock=clock)
