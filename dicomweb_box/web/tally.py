"""Counters of requests that all web processes share, so that any one of them can tell the sum."""

import mmap
import threading

from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
_RUNNING = len(STATUSES)
_WIDTH = _RUNNING + 1


class Tally:
    """One row of 64-bit counters for each web process, in memory that a fork shares.

    Each process writes its own row only, so no lock between processes is needed; a row outlives its process.
    """

    def __init__(self, processes: int = 1) -> None:
        self.processes = processes
        self._cells = memoryview(mmap.mmap(-1, processes * _WIDTH * 8)).cast("Q")
        self._row = 0
        self._lock = threading.Lock()

    def claim(self, process: int) -> None:
        """This process counts in row `process` from now on; what its predecessor left running is gone."""
        self._row = process * _WIDTH
        self._cells[self._row + _RUNNING] = 0

    def began(self) -> None:
        """A request has come."""
        with self._lock:
            self._cells[self._row + _RUNNING] += 1

    def ended(self, status: int) -> None:
        """A request was answered; status 0 for one that was given up."""
        with self._lock:
            self._cells[self._row + _RUNNING] -= 1
            if 100 <= status < 600:
                self._cells[self._row + status // 100 - 1] += 1

    def answered(self, process: int) -> dict[str, int]:
        """Number of answers by class of status."""
        return {status: self._cells[process * _WIDTH + place] for place, status in enumerate(STATUSES)}

    def running(self, process: int) -> int:
        """Requests being answered now."""
        return self._cells[process * _WIDTH + _RUNNING]


class Counted:
    """ASGI middleware: count each request in the tally."""

    def __init__(self, app: ASGIApp, tally: Tally) -> None:
        self._app = app
        self._tally = tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note its status."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._tally.began()
        try:
            await self._app(scope, receive, noting)
        finally:
            self._tally.ended(status)
