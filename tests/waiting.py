"""Waits for what comes to pass when it comes to pass, however busy the machine is."""

import asyncio
import time
from collections.abc import Callable

PATIENCE = 90.0
"""Seconds after which what did not come to pass is taken for a failure."""


def until(
    true: Callable[[], object], within: float = PATIENCE, what: str = "it did not come to pass"
) -> None:
    """Return as soon as something is so; AssertionError after a while."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


async def turned(true: Callable[[], object], within: float = PATIENCE) -> None:
    """The same, while the loop goes on."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.01)
