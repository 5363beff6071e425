"""The HTTP server of a web role, in this process."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from dicomweb_box import roles


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[str, int]]:
    config = uvicorn.Config(
        _app, http=roles.Protocol, ws="none", lifespan="off", log_config=None, access_log=False
    )
    stop, accepting = asyncio.Event(), asyncio.Event()
    server = roles.Server(config, stop, when_accepting=accepting.set, when_stopping=lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        task = asyncio.create_task(server.serve([listener]))
        await accepting.wait()
        yield address
        stop.set()
        await asyncio.wait_for(task, 10)


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost:", b"GET / HTTP/1.1\r\n\r\nGET / HT"])
async def test_who_does_not_finish_a_head_is_hung_up_on(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roles, "HEAD_TIMEOUT", 0.5)
    async with serving() as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(begun)

        answer = await asyncio.wait_for(reader.read(), 10)

        assert answer.endswith(b"ok") == begun.startswith(b"GET / HTTP/1.1\r\n\r\n")
        writer.close()


def test_a_report_is_made_once() -> None:
    reading, writing = os.pipe()
    report = roles.Report(writing)

    assert (report(b"ready"), report(b"again")) == (True, False)

    assert os.read(reading, 100) == b"ready"
    os.close(reading)
