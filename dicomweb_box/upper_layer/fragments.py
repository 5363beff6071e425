"""Cuts messages into P-DATA-TF PDUs on their way out, without joining what they are made of (PS3.8 E)."""

import struct
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence

from dicomweb_box.upper_layer import framing

Buffer = bytes | bytearray | memoryview
Write = Callable[[Sequence[Buffer]], Awaitable[None]]

MOST_PDU = 256 << 10
"""Where the peer takes more, or anything."""
BATCH = 512 << 10
"""Bytes given to the socket at a time."""

_HEADS = struct.Struct(">BxIIBB")


class Fragments:
    """One message of a presentation context, on its way to a peer that takes PDUs of `most_pdu` bytes."""

    def __init__(self, context_id: int, most_pdu: int, write: Write) -> None:
        self._context_id = context_id
        most = min(most_pdu or MOST_PDU, MOST_PDU)
        # PS3.8 D.1.1: the maximum counts items with their length and header. E.1: fragments are even.
        self._room = max(2, (most - 6) & ~1)
        self._full_head = self._head(self._room, 0)
        self._write = write
        self._batch: list[Buffer] = []
        self._batched = 0
        self._open: list[Buffer] = []
        self._opened = 0

    async def send(
        self, command: bytes, data: Buffer | Iterable[Buffer] | AsyncIterable[Buffer] | None
    ) -> None:
        """Send a command set and the data set that goes with it."""
        for position in range(0, len(command), self._room):
            piece = command[position : position + self._room]
            last = framing.LAST if position + self._room >= len(command) else 0
            self._put([piece], len(piece), framing.COMMAND | last)
        if data is not None:
            await self._send_data(data)
        await self._flush()

    async def _send_data(self, data: Buffer | Iterable[Buffer] | AsyncIterable[Buffer]) -> None:
        if isinstance(data, bytes | bytearray | memoryview):
            await self._add(data)
        elif isinstance(data, AsyncIterable):
            async for piece in data:
                await self._add(piece)
        else:
            for piece in data:
                await self._add(piece)
        self._put(self._open, self._opened, framing.LAST)

    async def _add(self, piece: Buffer) -> None:
        """Cut off full fragments; what is left stays open, as it may be the last one."""
        view = memoryview(piece)
        if view.itemsize != 1:
            view = view.cast("B")
        position, left = 0, len(view)
        while self._opened + left > self._room:
            taken = self._room - self._opened
            self._open.append(view[position : position + taken])
            self._put(self._open, self._room, 0)
            self._open, self._opened = [], 0
            position += taken
            left -= taken
            if self._batched >= BATCH:
                await self._flush()
        if left:
            self._open.append(view[position:])
            self._opened += left

    def _put(self, pieces: list[Buffer], length: int, control: int) -> None:
        full = length == self._room and not control
        self._batch.append(self._full_head if full else self._head(length, control))
        self._batch += pieces
        self._batched += length

    def _head(self, length: int, control: int) -> bytes:
        return _HEADS.pack(framing.P_DATA, length + 6, length + 2, self._context_id, control)

    async def _flush(self) -> None:
        batch, self._batch, self._batched = self._batch, [], 0
        await self._write(batch)
