"""Takes in associations: connections, their first PDU, and whether they are wanted (PS3.8 9.2)."""

import asyncio
import errno
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from dicomweb_box.upper_layer import agreement, framing, negotiation
from dicomweb_box.upper_layer.agreement import Acceptance, AssociationRequest, Rejection
from dicomweb_box.upper_layer.association import Agreed, Association
from dicomweb_box.upper_layer.connection import Connection, short_pdu
from dicomweb_box.upper_layer.errors import Aborted, UpperLayerError
from dicomweb_box.upper_layer.first_pdu import FirstPdu
from dicomweb_box.upper_layer.framing import Violation
from dicomweb_box.upper_layer.limits import Limits

log = logging.getLogger(__name__)

Policy = Callable[[AssociationRequest], Awaitable[Acceptance | Rejection]]
Talk = Callable[[Association], Awaitable[None]]

_FULL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_PAUSE = 0.2
"""Seconds to wait where the process can have no more connections."""


async def serve(
    listener: socket.socket,
    admit: Policy,
    talk: Talk,
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    *,
    leaving: asyncio.Event | None = None,
) -> None:
    """Serve associations over a listening socket until cancelled, which aborts those that are left.

    When `leaving` is set nobody is let in any more, each association is released once its request under way
    is served, and the call returns. `listener` stays open.
    """
    await _Acceptor(listener, admit, talk, limits or Limits(), tls, leaving or asyncio.Event()).serve()


@dataclass(eq=False, slots=True)
class _Guest:
    """A connection that was let in."""

    address: str
    sock: socket.socket | None
    """Until it belongs to a transport."""
    task: asyncio.Task[None] | None = None
    association: Association | None = None


class _Acceptor:
    def __init__(
        self,
        listener: socket.socket,
        admit: Policy,
        talk: Talk,
        limits: Limits,
        tls: ssl.SSLContext | None,
        leaving: asyncio.Event,
    ) -> None:
        self._listener = listener
        self._admit = admit
        self._talk = talk
        self._limits = limits
        self._tls = tls
        self._leaving = leaving
        self._half_open: dict[_Guest, None] = {}  # in the order they came
        self._half_open_of: Counter[str] = Counter()
        self._asked: set[_Guest] = set()
        self._asked_of: Counter[str] = Counter()

    async def serve(self) -> None:
        self._listener.setblocking(False)
        accepting = asyncio.create_task(self._accept())
        leaving = asyncio.create_task(self._leaving.wait())
        try:
            await asyncio.wait({accepting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if accepting.done():
                accepting.result()
            accepting.cancel()
            self._leave()
            await self._all_gone()
        finally:
            accepting.cancel()
            leaving.cancel()
            for guest in [*self._half_open, *self._asked]:
                _cancel(guest)
            await self._all_gone()
            await asyncio.gather(accepting, leaving, return_exceptions=True)

    # Connections.

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(self._listener)
            except OSError as error:
                # A connection that is gone already, or none to be had now; a listener that is broken ends us.
                if error.errno in {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}:
                    raise
                await asyncio.sleep(_PAUSE if error.errno in _FULL else 0)
                continue
            self._let_in(sock, address[0] if isinstance(address, tuple) else "")

    def _let_in(self, sock: socket.socket, address: str) -> None:
        sock.setblocking(False)
        self._make_room(address)
        guest = _Guest(address, sock)
        self._half_open[guest] = None
        self._half_open_of[address] += 1
        guest.task = asyncio.create_task(self._guest(guest, sock))
        guest.task.add_done_callback(lambda task: self._gone(guest, task))

    def _make_room(self, address: str) -> None:
        """Close the oldest connection that never asked for anything, where there are too many of them."""
        if self._half_open_of[address] >= self._limits.half_open_of_address:
            oldest = next(guest for guest in self._half_open if guest.address == address)
        elif len(self._half_open) >= self._limits.half_open:
            oldest = next(iter(self._half_open))
        else:
            return
        self._has_asked(oldest)
        _cancel(oldest)

    def _has_asked(self, guest: _Guest) -> None:
        """It is not half open any more."""
        del self._half_open[guest]
        _less(self._half_open_of, guest.address)
        self._asked.add(guest)
        self._asked_of[guest.address] += 1

    def _gone(self, guest: _Guest, task: asyncio.Task[None]) -> None:
        if guest in self._half_open:
            self._has_asked(guest)
        self._asked.discard(guest)
        _less(self._asked_of, guest.address)
        if guest.sock is not None:
            guest.sock.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("an association of %s failed", guest.address, exc_info=error)

    def _leave(self) -> None:
        for guest in list(self._half_open):
            _cancel(guest)
        for guest in self._asked:
            if guest.association is not None:
                guest.association.leave()

    async def _all_gone(self) -> None:
        while tasks := {guest.task for guest in [*self._half_open, *self._asked] if guest.task}:
            await asyncio.wait(tasks)
            await asyncio.sleep(0)  # for what is done when they are

    # One connection, from its beginning to its end.

    async def _guest(self, guest: _Guest, sock: socket.socket) -> None:
        first = FirstPdu(framing.ASSOCIATE_RQ)
        connection = Connection(first, self._limits.timeouts)
        try:
            body = await self._first(guest, connection, first, sock)
            if body is not None:
                self._has_asked(guest)
                await self._associate(guest, connection, body)
        except Violation as violation:
            log.info("aborting a connection from %s: %s", guest.address, str(violation))
            connection.end(Aborted(str(violation)), abort=(2, violation.reason))
        except UpperLayerError as error:
            log.info("an association from %s ended: %s", guest.address, str(error))
        except BaseException:
            abort = (0, 0) if guest.association is not None else None
            connection.close(Aborted("the association was aborted by us"), abort=abort)
            raise
        # What was sent must go out, and the peer has until ARTIM runs out to close.
        connection.end(Aborted("there was no association"))
        await connection.closed

    async def _first(
        self, guest: _Guest, connection: Connection, first: FirstPdu, sock: socket.socket
    ) -> bytes | None:
        """The body of the A-ASSOCIATE-RQ; None where it did not come wholly in the time that it may take."""
        seconds = self._limits.timeouts.associate
        more = {"ssl_handshake_timeout": seconds, "ssl_shutdown_timeout": self._limits.timeouts.close}
        try:
            async with asyncio.timeout(seconds):
                guest.sock = None
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: connection, sock, ssl=self._tls, **(more if self._tls else {})
                )
                return (await first.pdu_that_came())[1]
        except (Aborted, OSError, TimeoutError) as error:
            log.info("no association was asked for from %s: %s", guest.address, str(error) or "too slow")
            # PS3.8 9.2.3 AA-2: without a word.
            connection.close(Aborted("no association was asked for"))
            return None

    async def _associate(self, guest: _Guest, connection: Connection, body: bytes) -> None:
        request = negotiation.read_request(
            body, peer_address=guest.address, peer_certificate=connection.peer_certificate
        )
        if isinstance(request, Rejection):
            return _reject(connection, guest, request)
        answer = await self._answer(guest, request)
        if isinstance(answer, Rejection):
            return _reject(connection, guest, answer)
        try:
            await self._serve(guest, connection, request, answer)
        finally:
            answer.let_go()
        return None

    async def _serve(
        self, guest: _Guest, connection: Connection, request: AssociationRequest, answer: Acceptance
    ) -> None:
        size = answer.pdu_size or self._limits.pdu_size
        contexts, pdu = negotiation.accept(request, answer, pdu_size=size)
        agreed = Agreed(
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            peer_address=guest.address,
            contexts={context.id: context for context in contexts},
            extended=dict(answer.extended),
            most_pdu=request.most_pdu,
            implementation=request.implementation,
            requestor=False,
        )
        timeouts = self._limits.timeouts
        if answer.idle is not None:
            timeouts = replace(timeouts, idle=answer.idle)
        association = guest.association = Association(connection, agreed, timeouts)
        if self._leaving.is_set():
            association.leave()
        connection.put(pdu)
        await self._talk(association)
        await association.release()

    async def _answer(self, guest: _Guest, request: AssociationRequest) -> Acceptance | Rejection:
        if (
            len(self._asked) > self._limits.associations
            or self._asked_of[guest.address] > self._limits.associations_of_address
            or self._leaving.is_set()
        ):
            return agreement.LIMIT_EXCEEDED
        return await self._admit(request)


def _reject(connection: Connection, guest: _Guest, why: Rejection) -> None:
    log.info("an association from %s is rejected: %s", guest.address, why)
    connection.put(short_pdu(framing.ASSOCIATE_RJ, why.result, why.source, why.reason))


def _cancel(guest: _Guest) -> None:
    if guest.task is not None:
        guest.task.cancel()


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
