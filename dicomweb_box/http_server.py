"""The HTTP server of a web role: uvicorn's, which loses no request at its end and bounds clients."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from ipaddress import ip_network
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from dicomweb_box import backlog
from dicomweb_box.accounts.addresses import client_key
from dicomweb_box.asgi.limits import AT_HAND
from dicomweb_box.asgi.proxies import is_within

LAST_LOOKS, BETWEEN_LOOKS = 25, 0.02
"""How often, and after how many seconds each, a draining role still answers on connections that are open."""
HEAD_TIMEOUT = 30.0
"""Seconds in which a request's head must have come."""
MOST_HEAD = 256 << 10
"""Bytes of a request's head; a search for a thousand UIDs is one of 64 KiB."""
MOST_HELD = 1 << 20
"""Bytes of a body that may wait for the application before the socket is left to fill."""
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
TOO_MANY = (
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)
HANDSHAKE_TIMEOUT = 15.0
"""Seconds in which TLS must be agreed on."""


class Connections:
    """How many connections each client has to this process."""

    def __init__(self, most: int = 512, trusted: Sequence[str] = ()) -> None:
        self._most = most
        self._trusted = tuple(map(ip_network, trusted))
        self.open: dict[str, int] = {}

    def enter(self, address: str) -> str | None:
        """The key to leave by; None where a client has enough connections."""
        key = client_key(address)
        held = self.open.get(key, 0)
        if held >= self._most and not is_within(address, self._trusted):
            return None
        self.open[key] = held + 1
        return key

    def leave(self, key: str) -> None:
        """One connection less."""
        if self.open[key] == 1:
            del self.open[key]
        else:
            self.open[key] -= 1


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol: no head without end, no end of connections of one client."""

    _head = 0
    _key: str | None = None
    clients: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it; 429 for a client that has too many."""
        super().connection_made(transport)
        self._key = self.clients.enter(self.client[0] if self.client else "unknown")
        if self._key is None:
            transport.write(TOO_MANY)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        if self._key is not None:
            self.clients.leave(self._key)
            self._key = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on; 431 where a head has become too long."""
        if self._key is None:
            return
        self._head += len(data)
        super().data_received(data)
        if self._head > MOST_HEAD and not self.transport.is_closing():
            self.transport.write(TOO_LONG)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """The head has ended."""
        self._head = 0
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            # Its task has not run yet, so that it never misses what the other class had.
            self.cycle.__class__ = Cycle
            cycle = cast("Cycle", self.cycle)
            cycle.pieces, cycle.held = deque(), 0
            cast("dict[str, Any]", cycle.scope)[AT_HAND] = cycle.pieces.__len__

    def on_body(self, body: bytes) -> None:
        """What comes is no head; it is handed on as it came, where uvicorn copies it twice."""
        self._head = 0
        cycle = cast("Cycle", self.cycle)
        if (self.parser.should_upgrade() and self._should_upgrade()) or cycle.response_complete:
            return
        cycle.pieces.append(body)
        cycle.held += len(body)
        if cycle.held > MOST_HELD:
            self.flow.pause_reading()
        cycle.message_event.set()


class Cycle(RequestResponseCycle):
    """uvicorn's request, whose body comes in the pieces that the socket gave."""

    pieces: deque[bytes]
    held: int

    async def receive(self) -> Any:
        """The next message of ASGI."""
        if self.pieces:
            return self._next()
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        return self._next()

    def _next(self) -> dict[str, Any]:
        body = self.pieces.popleft() if self.pieces else b""
        self.held -= len(body)
        more = self.more_body or bool(self.pieces)
        return {"type": "http.request", "body": body, "more_body": more}


class Server(uvicorn.Server):
    """uvicorn's server, which drains without dropping requests on connections kept alive."""

    def __init__(
        self,
        config: uvicorn.Config,
        stop: asyncio.Event,
        when_accepting: Callable[[], object],
        when_stopping: Callable[[], object],
        tls: ssl.SSLContext | None = None,
        clients: Connections | None = None,
    ) -> None:
        super().__init__(config)
        self._clients = clients or Connections()
        self._tls = tls
        self._stop = stop
        self._when_accepting = when_accepting
        self._when_stopping = when_stopping
        self._silent: dict[Any, float] = {}

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the role heeds them."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept, then say so."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                self._protocol, sock=listener, backlog=self.config.backlog, **self._secured()
            )
            for listener in sockets or ()
        ]
        self.started = True
        self._when_accepting()

    def _protocol(self) -> asyncio.Protocol:
        made = Protocol(self.config, self.server_state, app_state=self.lifespan.state)
        made.clients = self._clients
        return made

    async def main_loop(self) -> None:
        """Look once a second, and at once when told to stop: ten looks, as uvicorn's, wake idle machines."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1.0)

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop; drop those who do not finish the head of a request."""
        self.should_exit = self.should_exit or self._stop.is_set()
        self._drop_silent()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting; answer what still comes on open connections, each for the last time; close."""
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        last = self._accept_last(sockets or ())
        self._when_stopping()
        # Looks are counted, not seconds: a machine too busy to run us would let none come.
        for _ in range(LAST_LOOKS):
            if not self.server_state.connections and all(task.done() for task in last):
                break
            for connection in list(self.server_state.connections):
                if _is_busy(connection):
                    connection.shutdown()  # only asks it to close after the answer
            await asyncio.sleep(BETWEEN_LOOKS)
        await super().shutdown(sockets)

    def _accept_last(self, sockets: Sequence[socket.socket]) -> list[asyncio.Task[Any]]:
        """Close the listening sockets, and take those who wait at them."""
        loop = asyncio.get_running_loop()
        ends = [listener.dup() for listener in sockets]
        for server in self.servers:
            server.close()
        taken = []
        for end in ends:
            with end:
                for connection in backlog.waiting(end):
                    taking = loop.connect_accepted_socket(self._protocol, connection, **self._secured())
                    taken.append(asyncio.create_task(_unless_it_left(taking)))
        return taken

    def _secured(self) -> dict[str, Any]:
        return {"ssl": self._tls, "ssl_handshake_timeout": HANDSHAKE_TIMEOUT} if self._tls else {}

    def _drop_silent(self) -> None:
        now = time.monotonic()
        connections: set[Any] = set(self.server_state.connections)
        silent = {
            connection: self._silent.get(connection, now)
            for connection in connections
            if not _is_busy(connection) and connection.timeout_keep_alive_task is None
        }
        for connection, since in silent.items():
            if now - since > HEAD_TIMEOUT:
                connection.transport.close()
        self._silent = silent


def _is_busy(connection: Any) -> bool:
    return connection.cycle is not None and not connection.cycle.response_complete


async def _unless_it_left(taking: Coroutine[Any, Any, object]) -> None:
    with contextlib.suppress(OSError):
        await taking
