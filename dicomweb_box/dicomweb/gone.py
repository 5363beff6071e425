"""Work for a client that may leave before it is done."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")

_SOON = 0.05
"""Seconds in which work may be done before anybody looks whether the client is still there."""


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work gives; it is cancelled, and ClientDisconnect raised, once the client has left."""
    watch = _Watch(request)
    try:
        return await work
    except asyncio.CancelledError:
        if not watch.left():
            raise
        raise ClientDisconnect from None
    finally:
        watch.end()


class _Watch:
    """Cancels the task that made it once the client has left; until then it costs a timer."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._working = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self._left = False
        self._timer = asyncio.get_running_loop().call_later(_SOON, self._begin)

    def left(self) -> bool:
        """Whether it was this that cancelled the task; then the task goes on."""
        if self._left and self._working is not None:
            # Somebody else may have cancelled it as well.
            return self._working.uncancel() == 0
        return False

    def end(self) -> None:
        """Look no more."""
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._left = True
        if self._working is not None:
            self._working.cancel()
