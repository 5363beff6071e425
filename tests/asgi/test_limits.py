"""A body that stops arriving is given up."""

import asyncio
from collections import deque

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from dicomweb_box.asgi.limits import AT_HAND
from tests.asgi.served import app_of, client_of


async def taking(request: Request) -> Response:
    return Response(str(len(await request.body())))


async def test_a_stalled_body_is_answered_408_and_closed() -> None:
    async def body():
        yield b"abc"
        await asyncio.sleep(5)
        yield b"def"

    async with client_of(app_of(("/", taking), stall_seconds=0.05)) as client:
        answer = await client.post("/", content=body())

    assert answer.status_code == 408
    assert answer.headers["connection"] == "close"
    assert answer.json() == {"error": "The request body made no progress for 0.05 seconds."}


async def test_a_slow_body_that_goes_on_is_taken_however_long_it_lasts() -> None:
    async def body():
        for _ in range(10):
            yield b"abc" * 10
            await asyncio.sleep(0.08)

    async with client_of(app_of(("/", taking), stall_seconds=0.6)) as client:
        answer = await client.post("/", content=body())

    assert answer.text == "300"


async def test_a_body_that_stalls_behind_pieces_that_were_at_hand_is_given_up() -> None:
    app, pieces = app_of(("/", taking), stall_seconds=0.05), deque([b"abc", b"def"])

    async def receive():
        if not pieces:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": pieces.popleft(), "more_body": True}

    async def as_the_server(scope, _, send):
        await app({**scope, AT_HAND: pieces.__len__}, receive, send)

    async with client_of(as_the_server) as client:
        answer = await client.post("/", content=b"?")

    assert answer.status_code == 408
    assert not pieces


async def test_a_body_that_trickles_is_given_up_in_the_end() -> None:
    async def body():
        while True:
            yield b"."
            await asyncio.sleep(0.03)

    async with client_of(app_of(("/", taking), stall_seconds=1)) as client:
        answer = await client.post("/", content=body())

    assert answer.status_code == 408
    assert "less than 64 bytes a second" in answer.json()["error"]


@pytest.mark.parametrize(
    "hosts", [[], [("Host", "localhost"), ("Host", "localhost")], [("Host", "localhost"), ("Host", "evil")]]
)
async def test_a_request_names_one_host(hosts: list[tuple[str, str]]) -> None:
    app = app_of(("/", taking))

    async def with_hosts(scope, receive, send):
        headers = [(name.lower().encode(), value.encode()) for name, value in hosts]
        await app({**scope, "headers": headers}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(with_hosts)) as client:
        answer = await client.get("http://localhost/")

    assert answer.status_code in (400, 421)


async def test_waiting_for_the_client_to_leave_is_not_stalling() -> None:
    async def lingering(request: Request) -> Response:
        await request.body()
        await asyncio.wait({asyncio.ensure_future(request.is_disconnected())}, timeout=0.2)
        return Response("done")

    async with client_of(app_of(("/", lingering), stall_seconds=0.05)) as client:
        answer = await client.post("/", content=b"abc")

    assert answer.text == "done"
