"""An answer whose body lies in blobs: sent in pieces, never joined, with ranges and validators (RFC 9110)."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

from starlette.types import Receive, Scope, Send

from dicomweb_box.archive.body import Body, Made, Piece, total_length
from dicomweb_box.archive.chunks import chunks, made
from dicomweb_box.asgi.byte_range import NotSatisfiable, not_modified, wanted_range
from dicomweb_box.box import Box

WATCHED = 4 << 20
"""Bodies above this size are given up once the client is gone; smaller ones are not worth the watching."""

Header = tuple[bytes, bytes]


class BlobResponse:
    """A complete HTTP answer; raises Damaged, which breaks the connection, where a blob ends too early."""

    def __init__(
        self,
        box: Box,
        body: Sequence[Body],
        *,
        content_type: str,
        etag: str | None = None,
        status: int = 200,
        headers: Iterable[tuple[str, str]] = (),
        vary: str = "Accept",
        cache_control: str = "private, no-cache",
    ) -> None:
        self.box = box
        self.body = body
        self.etag = etag
        self.status_code = status
        self.total = total_length(body)
        self.headers: list[Header] = [
            (b"content-type", content_type.encode("latin-1")),
            # URIs are not versioned: what was replaced, deleted or withdrawn must not come out of a cache.
            (b"cache-control", cache_control.encode("latin-1")),
            (b"vary", vary.encode("latin-1")),
        ]
        if etag is not None:
            self.headers.append((b"etag", etag.encode("latin-1")))
        self.headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        asked = scope["headers"]
        known = self.status_code == 200 and self.etag is not None and not_modified(asked, self.etag)
        if known or self.status_code == 304:
            await _send_head(send, 304, [header for header in self.headers if header[0] != b"content-type"])
            return
        status, headers, bounds = self.status_code, [*self.headers], None
        if self.status_code == 200 and self.total is not None:
            headers.append((b"accept-ranges", b"bytes"))
            try:
                bounds = wanted_range(asked, scope["method"], self.etag, self.total)
            except NotSatisfiable:
                headers = [(b"content-range", b"bytes */%d" % self.total), (b"content-length", b"0")]
                await _send_head(send, 416, headers)
                return
            if bounds is not None:
                status = 206
                headers.append((b"content-range", b"bytes %d-%d/%d" % (bounds[0], bounds[1] - 1, self.total)))
        size = self.total if bounds is None else bounds[1] - bounds[0]
        if size is not None:
            headers.append((b"content-length", b"%d" % size))
        if scope["method"] == "HEAD":
            await _send_head(send, status, headers)
            return
        body = self.body if bounds is None else cut(self.body, *bounds)
        await self._send(
            receive, send, {"type": "http.response.start", "status": status, "headers": headers}, body
        )

    async def _send(self, receive: Receive, send: Send, head: dict[str, Any], body: Sequence[Body]) -> None:
        size = total_length(body)
        gone = _Gone(receive) if size is None or size > WATCHED else None
        pieces = chunks(self.box, body)
        try:
            # Read before the head is sent: a missing blob is an error answer, not a broken one.
            waiting = await anext(pieces, b"")
            await send(head)
            async for chunk in pieces:
                await send({"type": "http.response.body", "body": waiting, "more_body": True})
                waiting = chunk
                if gone is not None and gone.yes:
                    return
            await send({"type": "http.response.body", "body": waiting, "more_body": False})
        except ConnectionError:
            return  # ASGI 2.4: the client went away
        finally:
            await pieces.aclose()
            if gone is not None:
                await gone.stop()


async def _send_head(send: Send, status: int, headers: list[Header]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


class _Gone:
    """Notices that the client closed the connection."""

    def __init__(self, receive: Receive) -> None:
        self.yes = False
        self._task = asyncio.create_task(self._watch(receive))

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.yes = True

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def cut(body: Sequence[Body], start: int, stop: int) -> list[Body]:
    """The pieces that hold bytes start..stop of a body of known length."""
    wanted: list[Body] = []
    at = 0
    for piece in body:
        length = total_length((piece,)) or 0
        first, end = max(start - at, 0), min(stop - at, length)
        if first < end:
            wanted.append(piece if end - first == length else _part(piece, first, end))
        at += length
        if at >= stop:
            break
    return wanted


def _part(piece: Body, first: int, end: int) -> Body:
    if isinstance(piece, bytes):
        return piece[first:end]
    if isinstance(piece, Piece):
        return Piece(piece.source, piece.offset + first, end - first)
    whole = piece

    async def make() -> memoryview:
        return memoryview(await made(whole))[first:end]

    return Made(end - first, make)
