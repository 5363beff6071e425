"""Requests that are none, and slow clients.

A body that stops arriving does not hold a connection, a task or a spool file for ever.
"""

import asyncio
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicomweb_box.errors import BadRequest, RequestStalled

STALL_SECONDS = 60.0
AT_HAND = "dicomweb_box.at_hand"
"""Where a scope may keep what tells how many pieces of the body have come already."""
LEAST_RATE = 64
"""Bytes of a body a second, on average, once it takes longer than that."""


class WellFormed:
    """Middleware that raises BadRequest for what is no request of HTTP, or not of one meaning.

    An address with a NUL, which no attribute and no path has; a request that names no host, or two; a body in
    an encoding that nobody here takes off again.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] == "http":
            if "\0" in scope["path"] or b"%00" in scope["query_string"]:
                raise BadRequest("The address holds a NUL character.")
            hosts = 0
            for name, value in scope["headers"]:
                hosts += name == b"host"
                if name == b"transfer-encoding" and value.strip().lower() != b"chunked":  # RFC 9112 6.1
                    raise BadRequest("Transfer-Encoding can be chunked alone.")
            if hosts > 1 or (hosts == 0 and scope["http_version"] == "1.1"):  # RFC 9112 3.2
                raise BadRequest("The request names no host, or more than one.")
        await self.app(scope, receive, send)


class StalledBodies:
    """Middleware that raises RequestStalled where a body makes no progress for `seconds`, or trickles."""

    def __init__(self, app: ASGIApp, seconds: float = STALL_SECONDS) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; requests without a body are left alone."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD") or not _has_body(scope):
            await self.app(scope, receive, send)
            return
        complete, came, waited = False, 0, 0.0
        at_hand: Callable[[], int] = scope.get(AT_HAND, _unknown)

        async def timely() -> Message:
            nonlocal complete, came, waited
            if complete:  # waiting for the client to leave may take any time
                return await receive()
            began = time.monotonic()
            # A clock for each piece would cost as much as all else that is done with it.
            message = await (receive() if at_hand() else self._in_time(receive))
            complete = not message.get("more_body", False)
            came += len(message.get("body", b""))
            waited += time.monotonic() - began
            if not complete and waited > self.seconds and came < waited * LEAST_RATE:
                raise RequestStalled(f"The request body came with less than {LEAST_RATE} bytes a second.")
            return message

        await self.app(scope, timely, send)

    async def _in_time(self, receive: Receive) -> Message:
        try:
            async with asyncio.timeout(self.seconds):
                return await receive()
        except TimeoutError:
            raise RequestStalled(f"The request body made no progress for {self.seconds:g} seconds.") from None


def _unknown() -> int:
    return 0


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )
