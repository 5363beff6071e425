"""What each role does: `web` answers requests, `dimse` serves associations, `worker` does the chores."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
import uvloop

from dicomweb_box.accounts import audit, users
from dicomweb_box.app import assemble
from dicomweb_box.archive import chores
from dicomweb_box.box import Box, in_thread, open_box
from dicomweb_box.errors import BoxError
from dicomweb_box.http_server import Connections, Protocol, Server
from dicomweb_box.outbound import kinds
from dicomweb_box.outbound import worker as transfer_worker
from dicomweb_box.settings import Settings
from dicomweb_box.tls import Certificate
from dicomweb_box.web.events import feed
from dicomweb_box.web.tally import Tally
from dicomweb_box.web.transfer_events import progress

log = logging.getLogger(__name__)

READY = b"ready"
TRIM_EVERY = 30.0
LOOK_EVERY = 1.0
"""Seconds after which a renewed certificate is seen."""


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
        when_stopping=lambda: _let_listeners_go(box),
        tls=here.certificate.context if here.certificate else None,
        clients=Connections(here.settings.client_connections, here.settings.trusted_proxies),
    )
    async with asyncio.TaskGroup() as tasks:
        beside = [tasks.create_task(_trim(box))]
        if here.certificate is not None:
            # Before the role says that it is ready: from then on a hang-up is heeded.
            beside.append(tasks.create_task(_renew(box, here.certificate, _hangups())))
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
            # Before the role says that it is ready: from then on a hang-up is heeded.
            beside.append(tasks.create_task(_renew(box, here.certificate, _hangups())))
        await server.serve(
            box,
            [(one.socket, tls if one.secured else None) for one in listeners],
            stop,
            when_accepting=lambda: here.report(READY),
        )
        for task in beside:
            task.cancel()


def _let_listeners_go(box: Box) -> None:
    feed(box).release()
    progress(box).release()


async def _trim(box: Box) -> None:
    while True:
        await asyncio.sleep(TRIM_EVERY)
        box.blobs.trim()


def _hangups() -> asyncio.Event:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, told.set)
    return told


async def _renew(box: Box, certificate: Certificate, told: asyncio.Event) -> None:
    """Look for a renewed certificate: every second, and without looking at times when told to (SIGHUP)."""
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
