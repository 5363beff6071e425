"""What each role does: `web` answers requests, `dimse` serves associations, `worker` does the chores."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, cast

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from dicomweb_box.accounts import audit, users
from dicomweb_box.accounts.addresses import client_key
from dicomweb_box.app import assemble
from dicomweb_box.archive import chores
from dicomweb_box.asgi.proxies import is_within
from dicomweb_box.box import Box, in_thread, open_box
from dicomweb_box.errors import BoxError
from dicomweb_box.outbound import kinds
from dicomweb_box.outbound import worker as transfer_worker
from dicomweb_box.settings import Settings
from dicomweb_box.tls import Certificate
from dicomweb_box.web.events import feed
from dicomweb_box.web.tally import Tally

log = logging.getLogger(__name__)

READY = b"ready"
LAST_REQUESTS = 0.5
"""Seconds in which a draining role still answers on connections that are open."""
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
TRIM_EVERY = 30.0
LOOK_EVERY = 1.0
"""Seconds after which a renewed certificate is seen."""
HANDSHAKE_TIMEOUT = 15.0
"""Seconds in which TLS must be agreed on."""


class Report:
    """The role's one word to the supervisor: `ready`, or why the start failed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def __call__(self, told: bytes) -> bool:
        """Say it; False where something was said before."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return False
        with contextlib.suppress(BrokenPipeError):
            os.write(descriptor, told[:4000])
        os.close(descriptor)
        return True


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the supervisor hands to a role."""

    settings: Settings
    lifeline: int
    """Descriptor at its end when the supervisor is gone."""
    report: Report
    tally: Tally
    number: int
    certificate: Certificate | None = None
    """With it HTTPS is served."""


def run_web(here: Surroundings, listener: socket.socket) -> int:
    """Answer requests on the listener until told to stop; the exit code."""
    return _run(here, lambda box, stop: _web(here, box, listener, stop))


@dataclass(frozen=True, kw_only=True)
class DimseListener:
    """A socket that associations are asked for on, over TLS where it is `secured`."""

    socket: socket.socket
    secured: bool


def run_dimse(here: Surroundings, listeners: Sequence[DimseListener]) -> int:
    """Serve associations on the listeners until told to stop; the exit code."""
    return _run(here, lambda box, stop: _dimse(here, box, listeners, stop))


def run_worker(here: Surroundings) -> int:
    """Do the chores until told to stop; the exit code."""
    return _run(here, lambda box, stop: _worker(here, box, stop))


def _run(here: Surroundings, life: Callable[[Box, asyncio.Event], Coroutine[Any, Any, None]]) -> int:
    # Requests leave few cycles behind: looking for them after each 700 objects is 2 % of what storing costs.
    gc.set_threshold(50_000, 20, 50)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        # At its end, not only in name: whoever killed the supervisor wanted us gone too.
        loop.add_reader(here.lifeline, _orphaned, loop, here.lifeline, stop)
        async with open_box(here.settings) as box:
            await audit.started(box)
            await life(box, stop)
            await audit.stopped(box)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except (BoxError, OSError) as error:
        # The supervisor words a failed start; later there is nobody to listen.
        if not here.report(str(error).encode()):
            log.error("stopped: %s", error)  # noqa: TRY400  (an operator's line; where in the code tells nothing)
        return 1
    except Exception as error:
        here.report(f"{type(error).__name__} at its start".encode())
        log.exception("stopped")
        return 1
    return 0


def _orphaned(loop: asyncio.AbstractEventLoop, lifeline: int, stop: asyncio.Event) -> None:
    loop.remove_reader(lifeline)
    stop.set()


async def _web(here: Surroundings, box: Box, listener: socket.socket, stop: asyncio.Event) -> None:
    here.tally.claim(here.number)
    if here.settings.role == "web" and here.number == 0 and not here.settings.no_auth:
        await _tell_where_accounts_come_from(box)
    config = uvicorn.Config(
        assemble(box, here.tally, here.certificate),
        http=Protocol,
        ws="none",
        lifespan="off",  # the box is open already, and is closed after the last request
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=here.settings.backlog,
        timeout_keep_alive=here.settings.keep_alive,
        timeout_graceful_shutdown=here.settings.drain_timeout,
    )
    server = Server(
        config,
        stop,
        when_accepting=lambda: here.report(READY),
        when_stopping=lambda: feed(box).release(),
        tls=here.certificate.context if here.certificate else None,
        clients=Connections(here.settings.client_connections, here.settings.trusted_proxies),
    )
    async with asyncio.TaskGroup() as tasks:
        beside = [tasks.create_task(_trim(box))]
        if here.certificate is not None:
            beside.append(tasks.create_task(_renew(box, here.certificate)))
        await server.serve([listener])
        for task in beside:
            task.cancel()


async def _dimse(
    here: Surroundings, box: Box, listeners: Sequence[DimseListener], stop: asyncio.Event
) -> None:
    # Only roles that serve it pay for what it is made of.
    from dicomweb_box.dimse import server

    tls = here.certificate.context if here.certificate else None
    async with asyncio.TaskGroup() as tasks:
        beside = [tasks.create_task(_trim(box))]
        if here.certificate is not None:
            beside.append(tasks.create_task(_renew(box, here.certificate)))
        await server.serve(
            box,
            [(one.socket, tls if one.secured else None) for one in listeners],
            stop,
            when_accepting=lambda: here.report(READY),
        )
        for task in beside:
            task.cancel()


async def _trim(box: Box) -> None:
    while True:
        await asyncio.sleep(TRIM_EVERY)
        box.blobs.trim()


async def _renew(box: Box, certificate: Certificate) -> None:
    """Look for a renewed certificate: every second, and without looking at times when told to (SIGHUP)."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, told.set)
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(told.wait(), LOOK_EVERY)
        anew = told.is_set()
        told.clear()
        await in_thread(box, lambda: certificate.refresh(anew=anew))  # noqa: B023  (awaited here)


async def _worker(here: Surroundings, box: Box, stop: asyncio.Event) -> None:
    if not here.settings.no_auth:
        await _tell_how_to_log_in(box)
    if here.settings.demo:
        await chores.load_demo(box)
    here.report(READY)
    with transfer_worker.announced(here.settings.data):
        await _work(box, stop)


async def _work(box: Box, stop: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(chores.run(box, stop, chores.STEPS + transfer_worker.CHORES))
        tasks.create_task(transfer_worker.run(box, stop, kinds.HANDLERS))


async def _tell_how_to_log_in(box: Box) -> None:
    password = await users.first_administrator(box)
    if password is not None:
        # Not through the log, which may be kept: this is for whoever stands before the terminal.
        sys.stderr.write(f"Log in as {users.FIRST} with the one-time password {password}\n")
        sys.stderr.flush()


async def _tell_where_accounts_come_from(box: Box) -> None:
    if not await users.administered(box):
        sys.stderr.write(
            "Nobody has logged in here yet: the worker role prints a one-time password when it starts,"
            " and `dicomweb-box user add NAME --role administrator` makes an account\n"
        )
        sys.stderr.flush()


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
        secured: dict[str, Any] = (
            {"ssl": self._tls, "ssl_handshake_timeout": HANDSHAKE_TIMEOUT} if self._tls else {}
        )
        self.servers = [
            await loop.create_server(self._protocol, sock=listener, backlog=self.config.backlog, **secured)
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
        for server in self.servers:
            server.close()
        self._when_stopping()
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        until = time.monotonic() + LAST_REQUESTS
        while self.server_state.connections and time.monotonic() < until:
            for connection in list(self.server_state.connections):
                if _is_busy(connection):
                    connection.shutdown()  # only asks it to close after the answer
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

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
