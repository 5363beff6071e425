"""Bodies that lie in blobs, over ASGI."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from dicomweb_box.archive.body import Body, Later, Made, Piece
from dicomweb_box.archive.chunks import MOST_AT_ONCE
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.asgi.errors import handlers
from dicomweb_box.asgi.stack import middleware
from dicomweb_box.box import Box
from dicomweb_box.errors import Damaged

DATA = bytes(range(256)) * 40
ETAG = '"abc"'


@pytest.fixture
def body() -> list[Body]:
    """head, a range of a blob, bytes made later, tail: 10 + 5,000 + 300 + 4 bytes."""

    async def make() -> bytes:
        return DATA[:300]

    return [b"head......", Piece("a/blob", 100, 5000), Made(300, make), b"tail"]


WHOLE = b"head......" + DATA[100:5100] + DATA[:300] + b"tail"


@pytest.fixture
async def client(box: Box, body: list[Body]) -> AsyncIterator[httpx.AsyncClient]:
    box.blobs.put("a/blob", [DATA])

    async def answer(request: Any) -> BlobResponse:
        return BlobResponse(box, body, content_type="application/octet-stream", etag=ETAG)

    app = Starlette(
        routes=[Route("/x", answer)], middleware=middleware(box.settings), exception_handlers=handlers()
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as opened:
        yield opened


async def test_texts_blob_ranges_and_made_bytes_come_as_one_body(client: httpx.AsyncClient) -> None:
    response = await client.get("/x")

    assert response.status_code == 200
    assert response.content == WHOLE
    assert response.headers["content-length"] == str(len(WHOLE))
    assert response.headers["etag"] == ETAG
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.headers["accept-ranges"] == "bytes"


async def test_head_tells_the_length_and_sends_nothing(client: httpx.AsyncClient) -> None:
    response = await client.head("/x")

    assert response.status_code == 200
    assert response.headers["content-length"] == str(len(WHOLE))
    assert response.content == b""


@pytest.mark.row(91)
@pytest.mark.parametrize("tag", [ETAG, f"W/{ETAG}", f'"other", {ETAG}', "*"])
async def test_who_has_this_representation_is_told_so(client: httpx.AsyncClient, tag: str) -> None:
    response = await client.get("/x", headers={"if-none-match": tag})

    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["etag"] == ETAG


async def test_who_has_another_representation_gets_this_one(client: httpx.AsyncClient) -> None:
    assert (await client.get("/x", headers={"if-none-match": '"other"'})).content == WHOLE


@pytest.mark.row(68)
@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-14", 5, 15),
        ("bytes=10-5009", 10, 5010),
        ("bytes=3000-5200", 3000, 5201),
        ("bytes=5005-", 5005, len(WHOLE)),
        ("bytes=-6", len(WHOLE) - 6, len(WHOLE)),
        ("bytes=-999999", 0, len(WHOLE)),
        ("bytes=5100-999999", 5100, len(WHOLE)),
        ("Bytes = 7 - 8", 7, 9),
    ],
)
async def test_one_range_is_cut_out_of_the_pieces(
    client: httpx.AsyncClient, asked: str, start: int, stop: int
) -> None:
    response = await client.get("/x", headers={"range": asked})

    assert response.status_code == 206
    assert response.content == WHOLE[start:stop]
    assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(WHOLE)}"
    assert response.headers["content-length"] == str(stop - start)


async def test_every_range_of_a_small_window_is_right(client: httpx.AsyncClient) -> None:
    for start in range(5, 13):
        for last in range(start, 14):
            response = await client.get("/x", headers={"range": f"bytes={start}-{last}"})
            assert response.content == WHOLE[start : last + 1]


@pytest.mark.parametrize(
    "asked", ["bytes=2-1", "lines=1-2", "bytes=0-1,5-6", "bytes=", "bytes=a-b", "bytes=" + "9" * 5000 + "-"]
)
async def test_what_is_no_single_range_is_answered_with_the_whole(
    client: httpx.AsyncClient, asked: str
) -> None:
    response = await client.get("/x", headers={"range": asked})

    assert response.status_code == 200
    assert response.content == WHOLE


@pytest.mark.parametrize("asked", [f"bytes={len(WHOLE)}-", "bytes=999999-1000000", "bytes=-0"])
async def test_a_range_beyond_the_end_cannot_be_satisfied(client: httpx.AsyncClient, asked: str) -> None:
    response = await client.get("/x", headers={"range": asked})

    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(WHOLE)}"
    assert response.content == b""


async def test_a_range_of_another_representation_is_answered_with_the_whole(
    client: httpx.AsyncClient,
) -> None:
    same = await client.get("/x", headers={"range": "bytes=0-1", "if-range": ETAG})
    other = await client.get("/x", headers={"range": "bytes=0-1", "if-range": '"other"'})
    weak = await client.get("/x", headers={"range": "bytes=0-1", "if-range": f"W/{ETAG}"})
    date = await client.get("/x", headers={"range": "bytes=0-1", "if-range": "Mon, 05 Jan 2026 10:00:00 GMT"})

    assert [same.status_code, other.status_code, weak.status_code, date.status_code] == [206, 200, 200, 200]


async def test_a_missing_blob_is_an_error_answer(client: httpx.AsyncClient, body: list[Body]) -> None:
    body[:] = [Piece("no/blob", 0, 10)]

    response = await client.get("/x")

    assert response.status_code == 500
    assert "missing" in response.json()["error"]


class Told:
    """What an application sends, message by message."""

    def __init__(self, *, leaves_after: int | None = None) -> None:
        self.messages: list[dict[str, Any]] = []
        self.leaves_after = leaves_after
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.messages.append(message)
        if len(self.messages) == self.leaves_after:
            self.left.set()
            await asyncio.sleep(0.01)


def scope(method: str = "GET", **headers: str) -> dict[str, Any]:
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "headers": sent}


async def test_a_blob_that_ends_too_early_breaks_the_answer_off(box: Box) -> None:
    box.blobs.put("a/short", [b"x" * (3 << 20)])
    told = Told()
    response = BlobResponse(box, [Piece("a/short", 0, 5 << 20)], content_type="application/octet-stream")

    with pytest.raises(Damaged):
        await response(scope(), told.receive, told.send)

    assert (b"content-length", b"%d" % (5 << 20)) in told.messages[0]["headers"]
    assert all(message.get("more_body", True) for message in told.messages)


async def test_made_bytes_of_another_length_break_the_answer_off(box: Box) -> None:
    async def make() -> bytes:
        return b"four"

    response = BlobResponse(box, [b"x" * 20000, Made(5, make)], content_type="text/plain")

    with pytest.raises(Damaged):
        await response(scope(), Told().receive, Told().send)


async def test_a_large_blob_is_sent_in_bounded_pieces(box: Box) -> None:
    size = (5 << 20) + 17
    box.blobs.put("a/large", [b"0123456789abcdef" * (size // 16 + 1)])
    told = Told()

    await BlobResponse(box, [b"head", Piece("a/large", 0, size)], content_type="a/b")(
        scope(), told.receive, told.send
    )

    sizes = [len(message["body"]) for message in told.messages[1:]]
    assert sum(sizes) == size + 4
    assert max(sizes) <= MOST_AT_ONCE
    assert sizes[0] == 4
    assert [message["more_body"] for message in told.messages[1:]] == [True] * (len(sizes) - 1) + [False]


async def test_a_client_that_leaves_ends_the_sending(box: Box) -> None:
    box.blobs.put("a/large", [bytes(8 << 20)])
    told = Told(leaves_after=3)

    await BlobResponse(box, [Piece("a/large", 0, 8 << 20)], content_type="a/b")(
        scope(), told.receive, told.send
    )

    assert len(told.messages) == 3


async def test_a_send_to_a_client_that_left_ends_quietly(box: Box) -> None:
    async def send(message: Any) -> None:
        raise BrokenPipeError

    await BlobResponse(box, [b"x"], content_type="a/b")(scope(), Told().receive, send)


async def test_pieces_found_out_later_are_sent_without_a_length(box: Box) -> None:
    async def make() -> list[Body]:
        return [b"later"]

    told = Told()
    response = BlobResponse(box, [b"now ", Later(make)], content_type="a/b", etag=ETAG)

    await response(scope(range="bytes=0-1"), told.receive, told.send)

    assert told.messages[0]["status"] == 200
    assert b"content-length" not in dict(told.messages[0]["headers"])
    assert b"".join(message["body"] for message in told.messages[1:]) == b"now later"


async def test_blobs_in_no_cache_of_the_kernel_are_read_in_a_thread(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.blobs.put("a/cold", [DATA])
    blob = type(box.blobs.open("a/cold"))
    monkeypatch.setattr(blob, "pread_now", lambda self, offset, length: None)
    told = Told()

    await BlobResponse(box, [Piece("a/cold", 1, 999)], content_type="a/b")(scope(), told.receive, told.send)

    assert told.messages[1]["body"] == DATA[1:1000]
