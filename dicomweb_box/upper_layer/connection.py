"""A TCP or TLS connection that carries PDUs: its buffers, its time-outs and its end."""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from dicomweb_box.upper_layer import framing
from dicomweb_box.upper_layer.errors import Aborted, TimedOut
from dicomweb_box.upper_layer.framing import Framing, Violation
from dicomweb_box.upper_layer.limits import Timeouts

log = logging.getLogger(__name__)

Buffer = bytes | bytearray | memoryview

LEAST_BUFFER, MOST_BUFFER = 16 << 10, 512 << 10
SMALL = 4 << 10
"""Up to here it is cheaper to copy what came than to keep a whole buffer for it."""
MOST_UNREAD = 1 << 20
"""Bytes of messages that nobody has taken yet; over it nothing more is read from the socket."""
WRITE_AHEAD = 1 << 20

_SHORT_PDU = struct.Struct(">BxIBBBB")


class Receiver(framing.Receiver, Protocol):
    """Whom a connection hands on what it carries."""

    def lost(self, error: Aborted) -> None:
        """Nothing more comes; called once."""


def short_pdu(kind: int, *last: int) -> bytes:
    """A PDU whose body is four bytes, of which the `last` may differ from 0."""
    return _SHORT_PDU.pack(kind, 4, *(0,) * (4 - len(last)), *last)


class Connection(asyncio.BufferedProtocol):
    """One connection; `error` says why it cannot be used any more."""

    def __init__(self, receiver: Receiver, timeouts: Timeouts) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._receiver = receiver
        self.fragment = receiver.fragment
        """Handed on without a call between."""
        self._framing = Framing(self)
        self._transport: asyncio.Transport | None = None
        self._space: memoryview | None = None
        self._filled = 0
        self._size = LEAST_BUFFER
        self._unread = 0
        self.paused = False
        """Whether nothing is read, as nobody takes what came."""
        self._stall: asyncio.TimerHandle | None = None
        self._artim: asyncio.TimerHandle | None = None
        self._room: asyncio.Future[None] | None = None
        self.heard = self._loop.time()
        """When the last bytes came, by the loop's clock."""
        self.error: Aborted | None = None
        self.closed: asyncio.Future[None] = self._loop.create_future()
        """Done when there is no connection any more."""

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            # Both ways a message ends in a short segment that the other side is waiting for.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(high=WRITE_AHEAD)
        if self.error is not None:  # given up while TLS was being set up
            transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        # Views of what came are handed on, so what is filled is never written over.
        if self._space is None or len(self._space) - self._filled < SMALL:
            self._space, self._filled = memoryview(bytearray(self._size)), 0
        return self._space[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._space is None:
            return
        piece = self._space[self._filled : self._filled + nbytes]
        if self.error is not None:
            return  # what comes after the end is passed over, into the same buffer
        self.heard = self._loop.time()
        if nbytes <= SMALL:
            piece = memoryview(bytes(piece))
        else:
            self._filled += nbytes
        self._resize(nbytes)
        try:
            self._framing.feed(piece)
        except Violation as violation:
            log.info("aborting an association: %s", str(violation))
            self.end(Aborted(f"the peer sent {violation}"), abort=(2, violation.reason))
        self._watch()

    def eof_received(self) -> bool:
        return False  # the transport closes itself

    def pause_writing(self) -> None:
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._stall, self._artim):
            if timer is not None:
                timer.cancel()
        self._space = None
        self._fail(Aborted("the connection was closed by the peer"))
        self.resume_writing()
        if not self.closed.done():
            self.closed.set_result(None)

    # What the association calls.

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate that the peer showed, in DER."""
        tls = self._transport and self._transport.get_extra_info("ssl_object")
        return tls.getpeercert(binary_form=True) if tls else None

    def hand_over(self, receiver: Receiver) -> None:
        """What comes from now on is for `receiver`."""
        self._receiver = receiver
        self.fragment = receiver.fragment
        if self.error is not None:
            receiver.lost(self.error)

    def pdu(self, kind: int, body: bytes) -> None:
        """A PDU other than P-DATA-TF came; an abort is the same in every state (PS3.8 9.2.3, AA-2, AA-3)."""
        if kind == framing.ABORT:
            source, reason = body[2:4] if len(body) >= 4 else (0, 0)
            who = "the peer's upper layer" if source == 2 else "the peer"
            self.close(Aborted(f"{who} aborted the association (reason {reason})"))
        elif self.error is None:
            self._receiver.pdu(kind, body)

    def put(self, buffer: Buffer) -> None:
        """Send a short PDU, without waiting."""
        if self.error is None and self._transport is not None:
            self._transport.write(buffer)

    async def write(self, buffers: Sequence[Buffer]) -> None:
        """Send, and wait while the peer does not take it; raises Aborted, TimedOut."""
        if self.error is not None:
            raise self.error
        if self._transport is None:
            raise Aborted("there is no connection yet")
        self._transport.writelines(buffers)
        if self._room is not None:
            await self._drained(self._transport)

    def hold(self, count: int) -> None:
        """Bytes were put aside for somebody to take."""
        self._unread += count
        if self._unread > MOST_UNREAD and not self.paused and self.error is None:
            self._pause()

    def taken(self, count: int) -> None:
        """… and were taken."""
        self._unread -= count
        if self.paused and self._unread <= MOST_UNREAD // 2:
            self._resume()

    async def within(self, ready: asyncio.Future[None], seconds: float, what: str) -> None:
        """Wait for `ready`, which is also done when the connection fails, as it does after `seconds`."""
        timer = self._loop.call_later(seconds, self._late, ready, seconds, what)
        try:
            await ready
        finally:
            timer.cancel()

    async def until(
        self,
        ready: asyncio.Future[None],
        seconds: float,
        what: str,
        too_slow: Callable[[float], bool] = lambda waited: False,
    ) -> None:
        """As `within`, but `seconds` in which nothing at all came, though we did read.

        Where something comes by and by, `too_slow` tells whether it is too little for the seconds waited.
        """
        timer: asyncio.TimerHandle
        began = self._loop.time()

        def look() -> None:
            nonlocal timer
            now = self._loop.time()
            left = seconds if self.paused else self.heard + seconds - now
            if left > 0 and (self.paused or not too_slow(now - began)):
                timer = self._loop.call_later(left, look)
            else:
                self._late(ready, seconds, what)

        timer = self._loop.call_later(seconds, look)
        try:
            await ready
        finally:
            timer.cancel()

    def end(self, error: Aborted, *, abort: tuple[int, int] | None = None) -> None:
        """Nothing more is sent or taken in but, before it, A-ABORT with source and reason if so asked.

        The peer has until ARTIM runs out to close the connection (PS3.8 9.2.3, Sta13), as whoever closes
        first may destroy what is under way.
        """
        if self.error is not None:
            return
        if abort is not None:
            self.put(short_pdu(framing.ABORT, *abort))
        self._fail(error)
        if self._transport is None or self._transport.is_closing():
            return
        if self.paused:
            self._resume()
        self._artim = self._loop.call_later(self._timeouts.close, self._transport.abort)

    def close(self, error: Aborted, *, abort: tuple[int, int] | None = None) -> None:
        """As `end`, without waiting for the peer; what was sent still goes out."""
        self.end(error, abort=abort)
        if self._transport is not None:
            self._transport.close()

    # Private.

    def _resize(self, nbytes: int) -> None:
        if nbytes >= self._size // 2:
            self._size = min(self._size * 4, MOST_BUFFER)
        elif nbytes <= SMALL and self._size > LEAST_BUFFER:
            # An idle association keeps no large buffer.
            self._size, self._space = LEAST_BUFFER, None

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self.paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        self.paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _fail(self, error: Aborted) -> None:
        if self.error is None:
            self.error = error
            self._receiver.lost(error)
            if self._room is not None and not self._room.done():
                self._room.set_result(None)

    def _late(self, ready: asyncio.Future[None], seconds: float, what: str) -> None:
        self.end(TimedOut(f"{what} did not come within {seconds:g} seconds"), abort=(2, framing.UNSPECIFIED))
        if not ready.done():
            ready.set_result(None)

    def _watch(self) -> None:
        """A PDU has to come wholly within the network time-out, unless it is us who do not read."""
        if self._stall is None and self._framing.amid and self.error is None:
            self._stall = self._loop.call_later(self._timeouts.network, self._stalled, self._framing.whole)

    def _stalled(self, whole: int) -> None:
        self._stall = None
        if self._framing.amid and self._framing.whole == whole and not self.paused:
            seconds = self._timeouts.network
            self.end(TimedOut(f"the rest of a PDU did not come within {seconds:g} seconds"), abort=(2, 0))
        self._watch()

    async def _drained(self, transport: asyncio.Transport) -> None:
        waiting = transport.get_write_buffer_size()
        while self._room is not None and self.error is None:
            timer = self._loop.call_later(self._timeouts.network, self._unmoved(transport, waiting))
            try:
                await asyncio.shield(self._room)
            finally:
                timer.cancel()
            waiting = transport.get_write_buffer_size()
        if self.error is not None:
            raise self.error

    def _unmoved(self, transport: asyncio.Transport, waiting: int) -> Callable[[], None]:
        def look() -> None:
            if transport.get_write_buffer_size() >= waiting:
                seconds = self._timeouts.network
                self.end(TimedOut(f"the peer took nothing for {seconds:g} seconds"), abort=(2, 0))
            elif self._room is not None and not self._room.done():
                self._room.set_result(None)  # it moves, however slowly: look again
                self._room = self._loop.create_future()

        return look
