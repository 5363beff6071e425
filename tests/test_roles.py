"""The HTTP server of a web role, in this process."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from dicomweb_box import http_server, roles


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def _server(
    stop: asyncio.Event, accepting: asyncio.Event, clients: http_server.Connections | None = None
) -> http_server.Server:
    config = uvicorn.Config(
        _app, http=http_server.Protocol, ws="none", lifespan="off", log_config=None, access_log=False
    )
    return http_server.Server(
        config, stop, when_accepting=accepting.set, when_stopping=lambda: None, clients=clients
    )


@asynccontextmanager
async def serving(clients: http_server.Connections | None = None) -> AsyncIterator[tuple[str, int]]:
    stop, accepting = asyncio.Event(), asyncio.Event()
    server = _server(stop, accepting, clients)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        task = asyncio.create_task(server.serve([listener]))
        await accepting.wait()
        yield address
        stop.set()
        await asyncio.wait_for(task, 30)


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost:", b"GET / HTTP/1.1\r\n\r\nGET / HT"])
async def test_who_does_not_finish_a_head_is_hung_up_on(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "HEAD_TIMEOUT", 0.5)
    async with serving() as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(begun)

        answer = await asyncio.wait_for(reader.read(), 30)

        assert answer.endswith(b"ok") == begun.startswith(b"GET / HTTP/1.1\r\n\r\n")
        writer.close()


def test_a_report_is_made_once() -> None:
    reading, writing = os.pipe()
    report = roles.Report(writing)

    assert (report(b"ready"), report(b"again")) == (True, False)

    assert os.read(reading, 100) == b"ready"
    os.close(reading)


async def test_one_client_has_so_many_connections_and_a_trusted_proxy_any_number() -> None:
    async def opened(clients: http_server.Connections) -> list[bytes]:
        async with serving(clients) as address:
            made = [await asyncio.open_connection(*address) for _ in range(4)]
            await asyncio.sleep(0.1)
            answers = []
            for reader, writer in made:
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answers.append((await asyncio.wait_for(reader.read(), 30)).split(b"\r\n")[0])
                writer.close()
            # What was closed counts no more.
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answers.append((await asyncio.wait_for(reader.read(), 30)).split(b"\r\n")[0])
            writer.close()
        return answers

    ok, many = b"HTTP/1.1 200 OK", b"HTTP/1.1 429 Too Many Requests"
    held = http_server.Connections(3)
    assert await opened(held) == [ok, ok, ok, many, ok]
    assert held.open == {}
    assert await opened(http_server.Connections(3, ["127.0.0.0/8"])) == [ok] * 5


async def test_who_waits_unaccepted_when_it_ends_is_answered() -> None:
    server = _server(asyncio.Event(), asyncio.Event())
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        await server.startup([listener])
        with socket.create_connection(listener.getsockname(), 10) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            # Nothing was awaited since, so that the loop cannot have accepted it.
            await server.shutdown([listener])
            answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in answer
