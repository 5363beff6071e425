"""Server-sent events of transfers: the ids of those that went on, to each listener those that they may see.

One look a second for all who listen to this process, none where nobody does. What went on shortly before a
stream is told too, so that nothing is missed between a page and its stream. A stream ends by and by, and
whoever listens asks for another as who they are then.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.asgi.identity import identify
from dicomweb_box.box import Box
from dicomweb_box.outbound import transfers
from dicomweb_box.outbound.transfers import Moved
from dicomweb_box.web.events import BEAT, BEAT_EVERY, HEADERS, MOST_LISTENERS

LOOK_EVERY = 1.0
LOOK_BACK = timedelta(seconds=15)
"""So far back each look goes: clocks of several machines may differ as much."""
LONGEST = 300.0
"""Seconds of a stream."""


class Listener:
    """Whoever listens, and what they are to be told of."""

    def __init__(self, scope: Scope, actor: Actor) -> None:
        self._scope, self._actor = scope, actor
        self._pending: dict[str, None] = {}
        self.woken = asyncio.Event()

    def hear(self, moved: list[Moved]) -> None:
        """Keep those that they may see, to be told."""
        seen = [one.id for one in moved if transfers.sees(one, scope=self._scope, actor=self._actor)]
        if seen:
            self._pending |= dict.fromkeys(seen)
            self.woken.set()

    def take(self) -> bytes:
        """What is to be told now, as events."""
        self.woken.clear()
        names, self._pending = [f"transfer-{key}" for key in self._pending], {}
        if names:
            names.append("transfers")
        return b"".join(f"event: {name}\ndata: transfer\n\n".encode() for name in names) or BEAT


class Progress:
    """The listeners of this process."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.listeners: set[Listener] = set()
        self.ended = False
        self._known: dict[str, str] = {}
        self._looking: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        """Whether nobody else can listen."""
        return self.ended or len(self.listeners) >= MOST_LISTENERS

    async def listen(self, scope: Scope, actor: Actor) -> AsyncIterator[bytes]:
        """The events of one listener, and comments; ends after a while, and when the server drains."""
        listener = Listener(scope, actor)
        self.listeners.add(listener)
        until = asyncio.get_running_loop().time() + LONGEST
        try:
            yield BEAT
            found = await self._moved()
            listener.hear(found)
            if self._looking is None or self._looking.done():
                self._know(found)
                self._looking = asyncio.create_task(self._look())
            while not self.ended and asyncio.get_running_loop().time() < until:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_EVERY):
                        await listener.woken.wait()
                if not self.ended:
                    yield listener.take()
        finally:
            self.listeners.discard(listener)

    async def _moved(self) -> list[Moved]:
        return await transfers.moved(self.box, since=self.box.clock() - LOOK_BACK)

    def _know(self, found: list[Moved]) -> None:
        self._known = {one.id: one.changed_at for one in found}

    async def _look(self) -> None:
        while self.listeners and not self.ended:
            with contextlib.suppress(Exception):  # a database that is away for a moment is looked at again
                found = await self._moved()
                new = [one for one in found if self._known.get(one.id) != one.changed_at]
                self._know(found)
                for listener in self.listeners:
                    listener.hear(new)
            await asyncio.sleep(LOOK_EVERY)

    def release(self) -> None:
        """Let every listener go: the server is about to stop."""
        self.ended = True
        for listener in self.listeners:
            listener.woken.set()

    async def close(self) -> None:
        """Let every listener go, and look no more."""
        self.release()
        if self._looking is not None:
            self._looking.cancel()


def progress(box: Box) -> Progress:
    """The listeners of this process."""
    return box.resource(Progress, Progress)


async def events(request: Request) -> Response:
    """The stream; 503 where too many listen already, whose pages ask again from time to time."""
    actor, scope = identify(request)
    found = progress(request.app.state.box)
    if found.full:
        return JSONResponse({"error": "too many listen already"}, 503, headers={"Retry-After": "30"})
    return StreamingResponse(found.listen(scope, actor), media_type="text/event-stream", headers=HEADERS)
