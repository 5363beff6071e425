"""Whether the peer has cancelled what it asked for, and work that is given up then."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class Cancelled(asyncio.Event):
    """Set when the peer cancels a request of its own, or is not there any more."""

    def __init__(self) -> None:
        super().__init__()
        self._give_up: Callable[[], None] | None = None
        self._soon: asyncio.Handle | None = None

    def set(self) -> None:
        """It is so from now on; `before` gives its work up."""
        if self._give_up is not None and not self.is_set():
            # Not now: the work itself may have brought this about, and a task that runs cannot be stopped.
            self._soon = asyncio.get_running_loop().call_soon(self._give_up)
        super().set()

    async def before(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """What `work` gives, or None where this is set before, or was already; for one at a time."""
        if self.is_set():
            return None
        # In the task that asks, as asyncio.timeout does it: tasks of their own for the work and for waiting
        # cost each question to the database six turns of the event loop.
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - every coroutine runs in one
        others, given_up = task.cancelling(), False

        def give_up() -> None:
            nonlocal given_up
            given_up = True
            task.cancel()

        self._give_up = give_up
        try:
            return await work()
        except asyncio.CancelledError:
            if given_up and task.cancelling() - 1 <= others:
                return None
            raise
        finally:
            self._give_up = None
            if self._soon is not None:
                self._soon.cancel()
            if given_up:
                task.uncancel()
