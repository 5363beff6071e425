"""DIMSE messages as they come in, and queues of them for one reader each (PS3.7 6.3)."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.commands import Command
from dicomweb_box.upper_layer.connection import Connection
from dicomweb_box.upper_layer.errors import TooLarge
from dicomweb_box.upper_layer.limits import Timeouts

MESSAGE_COST = 4 << 10
"""What a message that waits counts for, so that many empty ones are too many as well."""
ENOUGH = 256 << 10
"""Bytes of a data set for which its reader is woken before the end."""
LEAST_RATE = 64
"""Bytes a second of a data set that its sender must keep up."""
SMALL_PIECE = 1 << 10
"""Up to here pieces that wait are joined."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """An accepted presentation context, with the roles of our side."""

    id: int
    abstract_syntax: str
    transfer_syntax: str
    as_scp: bool
    as_scu: bool


class Message:
    """One DIMSE message whose command set has wholly come; its data set may be coming still."""

    def __init__(
        self, context: Context, command: Command, connection: Connection, timeouts: Timeouts
    ) -> None:
        self.context = context
        self.command = command
        self.has_data = command.get("CommandDataSetType", commands.NO_DATA) != commands.NO_DATA
        self._connection = connection
        self._timeouts = timeouts
        self._pieces: list[memoryview | bytearray] = []
        self._unread = 0
        self._ended = not self.has_data
        self._dropped = False
        self._kept = b""
        self._more: asyncio.Future[None] | None = None

    async def pieces(self) -> AsyncIterator[list[memoryview]]:
        """All that has come of the data set since the last time, again and again until its end.

        While nothing is taken, little more is read from the socket. Raises Aborted, TimedOut.
        """
        if self._kept:
            yield [memoryview(self._kept)]
        while self._pieces or not self._ended:
            if self._pieces:
                pieces, self._pieces = self._pieces, []
                self._connection.taken(self._unread)
                self._unread = 0
                yield [memoryview(piece) for piece in pieces]
            elif self._connection.error is not None:
                raise self._connection.error
            else:
                self._more = asyncio.get_running_loop().create_future()
                await self._connection.until(
                    self._more, self._timeouts.network, "the rest of a data set", self._too_slow
                )

    async def data(self) -> AsyncIterator[memoryview]:
        """The fragments of the data set as they come; raises Aborted, TimedOut."""
        async for pieces in self.pieces():
            for piece in pieces:
                yield piece

    async def whole(self, most: int = 1 << 20) -> bytes:
        """The data set; raises TooLarge where it is longer than `most`, and Aborted, TimedOut."""
        kept = bytearray()
        async for pieces in self.pieces():
            for piece in pieces:
                kept += piece
            if len(kept) > most:
                raise TooLarge(f"a data set of more than {most} bytes")
        return bytes(kept)

    async def keep(self, most: int) -> None:
        """Read the data set now, so that it can be had later as well; raises as `whole` does."""
        self._kept = await self.whole(most)

    def _too_slow(self, waited: float) -> bool:
        return self._unread < LEAST_RATE * waited

    def add(self, piece: memoryview) -> None:
        """A piece of the data set came."""
        length = len(piece)
        if self._dropped or not length:
            return
        if length > SMALL_PIECE:
            self._pieces.append(piece)
        else:
            self._join(piece)
        self._unread += length
        self._connection.hold(length)
        if self._more is not None and (self._unread >= ENOUGH or self._connection.paused):
            self.wake()

    def _join(self, piece: memoryview) -> None:
        # A view takes 200 bytes: a data set in fragments of one byte would take 200 times its size.
        if self._pieces and isinstance(last := self._pieces[-1], bytearray):
            last += piece
        else:
            self._pieces.append(bytearray(piece))

    def end(self) -> None:
        """The data set has come wholly."""
        self._ended = True
        self.wake()

    def drop(self) -> None:
        """Nobody will read the data set, or the rest of it."""
        self._dropped = True
        self._connection.taken(self._unread)
        self._pieces, self._unread = [], 0

    def wake(self) -> None:
        """Let whoever waits for a piece look again."""
        if self._more is not None and not self._more.done():
            self._more.set_result(None)
        self._more = None


class Queue:
    """Messages in the order they came, for one reader."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._messages: deque[Message] = deque()
        self._ready: asyncio.Future[None] | None = None
        self._last: Message | None = None

    def put(self, message: Message) -> None:
        self._messages.append(message)
        self._connection.hold(MESSAGE_COST)
        self.wake()

    def wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def take(self) -> Message | None:
        """The next message, if there is one; what was not read of the one before is passed over."""
        if self._last is not None:
            self._last.drop()
            self._last = None
        if self._messages:
            self._connection.taken(MESSAGE_COST)
            self._last = self._messages.popleft()
        return self._last

    async def wait(self, seconds: float, what: str) -> None:
        """Until there may be something to take, or to know."""
        self._ready = asyncio.get_running_loop().create_future()
        await self._connection.until(self._ready, seconds, what)

    def waiting(self) -> Iterable[Message]:
        """The message that is being read."""
        return () if self._last is None else (self._last,)

    def drop(self) -> None:
        while self.take() is not None:
            pass
