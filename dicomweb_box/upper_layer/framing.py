"""Takes a stream of bytes apart into PDUs, and P-DATA-TF PDUs into fragments of messages (PS3.8 9.3).

Pure: bytes in, calls out. Fragments are handed on as they come, views of the bytes they came in; only the
other PDUs, which are short, are gathered first.
"""

import struct
from typing import Protocol

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)

COMMAND, LAST = 1, 2
"""Bits of a message control header (PS3.8 E.2)."""

LONGEST_DATA = 16 << 20
"""Some senders go over what was agreed on; nothing is kept of a PDU, so that only nonsense is refused."""
LONGEST_ASSOCIATE = 512 << 10
"""128 presentation contexts of 60 transfer syntaxes."""
LONGEST_OTHER = 1024

_PDU_HEAD = struct.Struct(">BxI")
_PDV_HEAD = struct.Struct(">IBB")
_HEADS = struct.Struct(">BxIIBB")
_HEAD = 6
"""Both heads are of six bytes."""

# PS3.8 Table 9-26, source UL service-provider
UNSPECIFIED, UNRECOGNIZED_PDU, UNEXPECTED_PDU, INVALID_PARAMETER = 0, 1, 2, 6


class Violation(Exception):
    """The peer broke the protocol; carries the reason that A-ABORT gives (PS3.8 Table 9-26)."""

    def __init__(self, message: str, *, reason: int = INVALID_PARAMETER) -> None:
        super().__init__(message)
        self.reason = reason


class Receiver(Protocol):
    """Whom the parts of a stream are handed to."""

    def pdu(self, kind: int, body: bytes) -> None:
        """A whole PDU that is no P-DATA-TF, without its head of six bytes."""

    def fragment(self, context_id: int, control: int, piece: memoryview, ended: bool) -> None:
        """A piece of a fragment of a message; `ended` where it is the fragment's last."""


class Framing:
    """Where in the stream of PDUs we are."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.whole = 0
        """How many PDUs have come wholly."""
        self._kept = b""
        self._kind = 0
        self._pdu_left = 0
        self._body: bytearray | None = None
        self._fragment_left = 0
        self._context_id = 0
        self._control = 0

    @property
    def amid(self) -> bool:
        """Whether the PDU that is coming in has not come wholly."""
        return bool(self._kind or self._kept)

    def feed(self, view: memoryview) -> None:
        """Take in the next bytes; raises Violation, after which nothing more must be fed."""
        position, end = 0, len(view)
        while position < end:
            if self._fragment_left:
                position = self._piece(view, position, end)
            elif self._body is not None:
                position = self._gather(self._body, view, position)
            elif self._kind or self._kept or end - position < _HEADS.size:
                position = self._head(view, position, end)
            else:
                position = self._usual(view, position, end)

    def _usual(self, view: memoryview, position: int, end: int) -> int:
        """The head of a PDU; where it is a P-DATA-TF with one fragment, as nearly all are, that too."""
        kind, length, item_length, context_id, control = _HEADS.unpack_from(view, position)
        if kind != P_DATA or item_length + 4 != length or not 2 < item_length < LONGEST_DATA:
            return self._head(view, position, end)
        start = position + _HEADS.size
        stop: int = position + _HEAD + length
        if stop <= end:
            self.whole += 1
            self._receiver.fragment(context_id, control, view[start:stop], True)
            return stop
        self._kind, self._pdu_left = P_DATA, 0
        self._context_id, self._control, self._fragment_left = context_id, control, length - _HEAD
        return start

    def _head(self, view: memoryview, position: int, end: int) -> int:
        """Read the head of a PDU or of a fragment, from `position` and what was kept before it."""
        if self._kept or end - position < _HEAD:
            wanted = _HEAD - len(self._kept)
            head = self._kept + bytes(view[position : position + wanted])
            if len(head) < _HEAD:
                self._kept = head
                return end
            self._kept = b""
            self._begin(head, 0)
            return position + wanted
        self._begin(view, position)
        return position + _HEAD

    def _begin(self, data: memoryview | bytes, position: int) -> None:
        if self._kind:
            self._begin_fragment(*_PDV_HEAD.unpack_from(data, position))
        else:
            self._begin_pdu(*_PDU_HEAD.unpack_from(data, position))

    def _begin_pdu(self, kind: int, length: int) -> None:
        if kind == P_DATA:
            if length > LONGEST_DATA or 0 < length < _HEAD:
                raise Violation(f"a P-DATA-TF PDU of {length} bytes")
            self._kind, self._pdu_left = (P_DATA, length) if length else (0, 0)
            return
        if not ASSOCIATE_RQ <= kind <= ABORT:
            raise Violation(f"a PDU of the unknown type {kind}", reason=UNRECOGNIZED_PDU)
        if length > (LONGEST_ASSOCIATE if kind in {ASSOCIATE_RQ, ASSOCIATE_AC} else LONGEST_OTHER):
            raise Violation(f"a PDU of type {kind} of {length} bytes")
        self._kind, self._pdu_left, self._body = kind, length, bytearray()
        if not length:
            self._end_pdu()

    def _begin_fragment(self, length: int, context_id: int, control: int) -> None:
        self._pdu_left -= length + 4
        if length < 2 or self._pdu_left < 0 or 0 < self._pdu_left < _HEAD:
            raise Violation("a presentation data value item that does not fit its PDU")
        self._context_id, self._control, self._fragment_left = context_id, control, length - 2
        if length == 2:
            self._receiver.fragment(context_id, control, memoryview(b""), True)
            if not self._pdu_left:
                self._end_pdu()

    def _piece(self, view: memoryview, position: int, end: int) -> int:
        stop = min(end, position + self._fragment_left)
        self._fragment_left -= stop - position
        ended = not self._fragment_left
        if ended and not self._pdu_left:
            self._end_pdu()
        self._receiver.fragment(self._context_id, self._control, view[position:stop], ended)
        return stop

    def _gather(self, body: bytearray, view: memoryview, position: int) -> int:
        piece = view[position : position + self._pdu_left]
        body += piece
        self._pdu_left -= len(piece)
        if not self._pdu_left:
            self._end_pdu()
        return position + len(piece)

    def _end_pdu(self) -> None:
        kind, body = self._kind, self._body
        self._kind, self._body = 0, None
        self.whole += 1
        if body is not None:
            self._receiver.pdu(kind, bytes(body))
