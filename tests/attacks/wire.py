"""DICOM's upper layer as an attacker speaks it: byte by byte, right or wrong, over a plain socket."""

import contextlib
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

VERIFICATION = b"1.2.840.10008.1.1"
CT = b"1.2.840.10008.5.1.4.1.1.2"
STUDY_FIND = b"1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT, EXPLICIT, BIG, DEFLATED = (
    b"1.2.840.10008.1.2",
    b"1.2.840.10008.1.2.1",
    b"1.2.840.10008.1.2.2",
    b"1.2.840.10008.1.2.1.99",
)
ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
COMMAND, LAST = 1, 2
C_STORE, C_FIND, C_ECHO, C_CANCEL = 0x0001, 0x0020, 0x0030, 0x0FFF
WITH_DATA, WITHOUT_DATA = 0x0001, 0x0101
ASK = b"\5\0\0\0\0\4\0\0\0\0"
"""A-RELEASE-RQ."""


def pdu(kind: int, body: bytes) -> bytes:
    """A PDU whose length is that of its body."""
    return struct.pack(">BxI", kind, len(body)) + body


def item(kind: int, content: bytes) -> bytes:
    """An item of an association PDU, whose length is that of its content."""
    return struct.pack(">BxH", kind, len(content)) + content


def context(number: int, abstract: bytes, *transfer: bytes) -> bytes:
    """A proposed presentation context."""
    syntaxes = b"".join(item(0x40, one) for one in transfer)
    return item(0x20, struct.pack(">Bxxx", number) + item(0x30, abstract) + syntaxes)


def head(called: bytes = b"DICOMWEB_BOX", calling: bytes = b"STRANGER") -> bytes:
    """What stands before the items of an association PDU."""
    return struct.pack(">HH16s16s32x", 1, 0, called.ljust(16), calling.ljust(16))


APPLICATION = item(0x10, b"1.2.840.10008.3.1.1.1")
USER = item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3"))


def request(*contexts: bytes, called: bytes = b"DICOMWEB_BOX", calling: bytes = b"STRANGER") -> bytes:
    """An A-ASSOCIATE-RQ."""
    return pdu(ASSOCIATE_RQ, head(called, calling) + APPLICATION + b"".join(contexts) + USER)


def fragment(number: int, control: int, content: bytes) -> bytes:
    """A presentation data value item."""
    return struct.pack(">IBB", len(content) + 2, number, control) + content


def message(number: int, command: bytes, data: bytes | None = None) -> bytes:
    """A message, each of its sets in a PDU of its own."""
    sent = pdu(P_DATA, fragment(number, COMMAND | LAST, command))
    return sent if data is None else sent + pdu(P_DATA, fragment(number, LAST, data))


def element(tag: int, content: bytes) -> bytes:
    """An element of Implicit VR Little Endian."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(content)) + content


def _even(text: bytes) -> bytes:
    return text + b"\0" * (len(text) % 2)


def command(
    field_: int, *, sop_class: bytes = VERIFICATION, message_id: int = 1, **more: bytes | int
) -> bytes:
    """A command set: `data` is its Command Data Set Type, `instance` the Affected SOP Instance UID."""
    elements = {
        0x0002: _even(sop_class),
        0x0100: struct.pack("<H", field_),
        0x0110: struct.pack("<H", message_id),
        0x0700: struct.pack("<H", 0),
        0x0800: struct.pack("<H", int(more.get("data", WITHOUT_DATA))),
    }
    if "instance" in more:
        elements[0x1000] = _even(bytes(str(more["instance"]), "ascii"))
    body = b"".join(element(tag, content) for tag, content in sorted(elements.items()))
    return element(0x0000, struct.pack("<I", len(body))) + body


def cancel(message_id: int) -> bytes:
    """The command set of C-CANCEL-RQ."""
    body = element(0x0100, struct.pack("<H", C_CANCEL)) + element(0x0120, struct.pack("<H", message_id))
    body += element(0x0800, struct.pack("<H", WITHOUT_DATA))
    return element(0x0000, struct.pack("<I", len(body))) + body


ECHO = command(C_ECHO)


@dataclass
class Wire:
    """One connection."""

    sock: socket.socket
    accepted: Mapping[int, int] = field(default_factory=dict)
    """Result by context ID."""

    def send(self, data: bytes) -> None:
        """Send as it is; a peer that has gone already is no error."""
        with contextlib.suppress(ConnectionError):
            self.sock.sendall(data)

    def pdu(self) -> tuple[int, bytes] | None:
        """The next PDU; None where the connection ends instead. Raises TimeoutError."""
        try:
            kind, length = struct.unpack(">BxI", self._exactly(6))
            return kind, self._exactly(length)
        except ConnectionError:
            return None

    def answer(self) -> dict[int, bytes]:
        """The command set of the next message, by element; its data set is passed over."""
        commands, data, has_data = b"", b"", True
        while has_data or not commands:
            found = self.pdu()
            assert found is not None, "the connection has ended"
            assert found[0] == P_DATA, found
            for control, content in _fragments(found[1]):
                if control & COMMAND:
                    commands += content
                    if control & LAST:
                        has_data = _elements(commands)[0x0800] != struct.pack("<H", WITHOUT_DATA)
                else:
                    data += content
                    has_data = not control & LAST
        return _elements(commands)

    def status(self) -> int:
        """The status of the next message."""
        return int(struct.unpack("<H", self.answer()[0x0900])[0])

    def ended(self) -> int | None:
        """How the peer ends it: by A-ABORT, A-RELEASE-RP, or closing the connection (None).

        After the first two it waits for us to close.
        """
        while (found := self.pdu()) is not None:
            if found[0] in {ABORT, RELEASE_RP}:
                return found[0]
        return None

    def closed_within(self, seconds: float) -> bool:
        """Whether the peer closes it in time, whatever comes before."""
        self.sock.settimeout(seconds)
        end = time.monotonic() + seconds
        try:
            while self.sock.recv(65536):
                if time.monotonic() > end:
                    return False
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    def _exactly(self, count: int) -> bytes:
        kept = bytearray()
        while len(kept) < count:
            piece = self.sock.recv(count - len(kept))
            if not piece:
                raise ConnectionResetError
            kept += piece
        return bytes(kept)


def _fragments(body: bytes) -> Iterator[tuple[int, bytes]]:
    while body:
        length, _, control = struct.unpack_from(">IBB", body)
        yield control, body[6 : 4 + length]
        body = body[4 + length :]


def _elements(data: bytes) -> dict[int, bytes]:
    found = {}
    while data:
        _, tag, length = struct.unpack_from("<HHI", data)
        found[tag] = data[8 : 8 + length]
        data = data[8 + length :]
    return found


@contextlib.contextmanager
def wire(port: int, *, seconds: float = 10) -> Iterator[Wire]:
    """A connection, before anything is said."""
    with socket.create_connection(("127.0.0.1", port), seconds) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(seconds)
        yield Wire(sock)


@contextlib.contextmanager
def associated(
    port: int,
    *contexts: tuple[int, bytes, Sequence[bytes]],
    seconds: float = 10,
    calling: bytes = b"STRANGER",
) -> Iterator[Wire]:
    """An association over contexts (ID, abstract syntax, transfer syntaxes)."""
    with wire(port, seconds=seconds) as one:
        one.send(request(*(context(n, a, *t) for n, a, t in contexts), calling=calling))
        found = one.pdu()
        assert found is not None, "the connection has ended"
        assert found[0] == ASSOCIATE_AC, found
        one.accepted = _results(found[1][68:])
        yield one


def _results(items: bytes) -> dict[int, int]:
    found = {}
    while items:
        kind, length = struct.unpack_from(">BxH", items)
        if kind == 0x21:
            found[items[4]] = items[6]
        items = items[4 + length :]
    return found


def echoes(port: int, *, seconds: float = 10) -> bool:
    """Whether somebody else is served: a C-ECHO over an association of its own."""
    with associated(port, (1, VERIFICATION, [IMPLICIT]), seconds=seconds) as one:
        one.send(message(1, ECHO))
        served = one.status() == 0
        one.send(ASK)
        return served and one.pdu() == (RELEASE_RP, b"\0\0\0\0")
