"""Server-sent events: only that something changed, never what; pages then ask for their own parts again.

One look at the change feed every two seconds for all who listen to this process, none where nobody does. A
page says up to which change it was made, so that what changes before its stream is open is heard too. Who
sees a part of the archive is told by the clock, whatever happens: an event would tell that something changed
elsewhere.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from dicomweb_box.asgi.identity import identify
from dicomweb_box.box import Box

MOST_LISTENERS = 200
LOOK_EVERY = 2.0
BEAT_EVERY = 15.0
CHANGED = b"event: changed\ndata: archive\n\n"
BEAT = b": still here\n\n"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Feed:
    """The change feed of this process's listeners."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.listeners: set[asyncio.Event] = set()
        self.by_the_clock: set[asyncio.Event] = set()
        self.ended = False
        self._looking: asyncio.Task[None] | None = None

    async def listen(self, after: int | None = None) -> AsyncIterator[bytes]:
        """The events after a change, else from now on, and comments; ends when the server drains."""
        woken = asyncio.Event()
        self.listeners.add(woken)
        try:
            last = await self._last()
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look(last))
            yield BEAT
            if after is not None and last > after:
                yield CHANGED
            while not self.ended:
                heard = False
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_EVERY):
                        heard = await woken.wait()
                woken.clear()
                if not self.ended:
                    yield CHANGED if heard else BEAT
        finally:
            self.listeners.discard(woken)

    async def listen_by_the_clock(self) -> AsyncIterator[bytes]:
        """An event every so often, whether anything changed or not; ends when the server drains."""
        ended = asyncio.Event()
        self.by_the_clock.add(ended)
        try:
            yield BEAT
            while not self.ended:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_EVERY):
                        await ended.wait()
                if not self.ended:
                    yield CHANGED
        finally:
            self.by_the_clock.discard(ended)

    @property
    def full(self) -> bool:
        """Whether nobody else can listen."""
        return self.ended or len(self.listeners) + len(self.by_the_clock) >= MOST_LISTENERS

    async def _last(self) -> int:
        return int(await self.box.database.fetch_value("select coalesce(max(id), 0) from change"))

    async def _look(self, known: int) -> None:
        while self.listeners and not self.ended:
            await asyncio.sleep(LOOK_EVERY)
            with contextlib.suppress(Exception):  # a database that is away for a moment is looked at again
                last = await self._last()
                if last != known:
                    self._wake()
                known = last

    def _wake(self) -> None:
        for woken in self.listeners:
            woken.set()

    def release(self) -> None:
        """Let every listener go: the server is about to stop."""
        self.ended = True
        self._wake()
        for ended in self.by_the_clock:
            ended.set()

    async def close(self) -> None:
        """Let every listener go, and look no more."""
        self.release()
        if self._looking is not None:
            self._looking.cancel()


def feed(box: Box) -> Feed:
    """The feed of this process."""
    return box.resource(Feed, Feed)


async def events(request: Request) -> Response:
    """The stream, from the change that `after` names; 503 where too many listen already.

    Those are told by and by instead: every page that listens asks again from time to time.
    """
    _, scope = identify(request)
    found = feed(request.app.state.box)
    if found.full:
        return JSONResponse({"error": "too many listen already"}, 503, headers={"Retry-After": "30"})
    after = request.query_params.get("after", "")
    known = int(after) if after.isascii() and after.isdigit() and len(after) < 20 else None
    told = found.listen(known) if scope.whole else found.listen_by_the_clock()
    return StreamingResponse(told, media_type="text/event-stream", headers=HEADERS)
