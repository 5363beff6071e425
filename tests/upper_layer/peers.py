"""Both ends of associations for tests: ours as acceptor, and DCMTK and pynetdicom as the others."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pynetdicom.ae import ApplicationEntity

from dicomweb_box.upper_layer import agreement, commands, framing, negotiation
from dicomweb_box.upper_layer.acceptor import Policy, Talk, serve
from dicomweb_box.upper_layer.agreement import Acceptance, AssociationRequest, Proposed, Rejection
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.connection import short_pdu
from dicomweb_box.upper_layer.limits import Limits, Timeouts
from dicomweb_box.upper_layer.message import Message

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"

QUICK = Timeouts(connect=15, associate=15, close=1, idle=30, network=15, response=30)


async def anything(request: AssociationRequest) -> Acceptance | Rejection:
    """Accepts every context in the first transfer syntax it is proposed in, and every role."""
    return Acceptance(
        contexts={proposed.id: proposed.transfer_syntaxes[0] for proposed in request.proposed},
        roles={proposed.abstract_syntax: (True, True) for proposed in request.proposed},
    )


@dataclass
class Archive:
    """Answers C-ECHO and C-STORE, and keeps what came by SOP Instance UID."""

    stored: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Transfer syntax and data set."""
    ended: list[str] = field(default_factory=list)
    """How associations ended."""
    associations: list[Association] = field(default_factory=list)

    async def talk(self, association: Association) -> None:
        self.associations.append(association)
        try:
            while (message := await association.receive()) is not None:
                await self.serve(association, message)
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        self.ended.append("released")

    async def serve(self, association: Association, message: Message) -> None:
        command = message.command
        if command.CommandField == commands.C_STORE_RQ:
            data = b"".join([bytes(piece) async for piece in message.data()])
            self.stored[command.AffectedSOPInstanceUID] = message.context.transfer_syntax, data
        await association.send(message.context, response(message))


def response(message: Message, status: int = 0) -> dict[str, object]:
    """The command set that answers a request."""
    command = message.command
    return {
        "AffectedSOPClassUID": command.get("AffectedSOPClassUID"),
        "AffectedSOPInstanceUID": command.get("AffectedSOPInstanceUID"),
        "CommandField": command.CommandField | commands.RESPONSE,
        "MessageIDBeingRespondedTo": command.MessageID,
        "Status": status,
    }


@contextlib.asynccontextmanager
async def serving(
    talk: Talk,
    *,
    admit: Policy = anything,
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    leaving: asyncio.Event | None = None,
) -> AsyncIterator[int]:
    """Our acceptor on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        limits = limits or Limits(timeouts=QUICK)
        task = asyncio.create_task(serve(listener, admit, talk, limits, tls, leaving=leaving))
        try:
            yield listener.getsockname()[1]
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def run(*arguments: str | Path, within: float = 60) -> str:
    """What a program of DCMTK prints; it has to succeed. Skips where there is no such program."""
    program = shutil.which(str(arguments[0]))
    if program is None:
        pytest.skip(f"{arguments[0]} is not installed")
    process = await asyncio.create_subprocess_exec(
        program,
        *map(str, arguments[1:]),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"TCP_NODELAY": "1", "PATH": "/usr/bin:/bin"},
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), within)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, output.decode(errors="replace")
    return output.decode(errors="replace")


class Wire:
    """A peer made by hand: PDUs as bytes, to and fro."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *pdus: bytes) -> None:
        self.writer.write(b"".join(pdus))

    async def pdu(self) -> tuple[int, bytes]:
        """The next PDU: its type and its body."""
        async with asyncio.timeout(60):
            head = await self.reader.readexactly(6)
            return head[0], await self.reader.readexactly(int.from_bytes(head[2:], "big"))

    async def message(self) -> tuple[dict[str, object], bytes]:
        """The next message: its command set and its data set."""
        parts = {True: b"", False: b""}
        while True:
            kind, body = await self.pdu()
            assert kind == framing.P_DATA, (kind, body)
            position = 0
            while position < len(body):
                length = int.from_bytes(body[position : position + 4], "big")
                control = body[position + 5]
                parts[bool(control & framing.COMMAND)] += body[position + 6 : position + 4 + length]
                position += 4 + length
            command = commands.decode(parts[True]) if control & framing.LAST else {}
            if command and (
                not control & framing.COMMAND or command["CommandDataSetType"] == commands.NO_DATA
            ):
                return command, parts[False]

    async def ended(self) -> None:
        """Until the other side closes; nothing more may come before."""
        async with asyncio.timeout(60):
            assert await self.reader.read() == b""

    async def associate(self, *proposed: Proposed, extended: dict[str, bytes] | None = None) -> bytes:
        """Ask for an association; gives the body of the answer."""
        self.send(association_request(*proposed, extended=extended))
        kind, body = await self.pdu()
        assert kind == framing.ASSOCIATE_AC
        return body


def association_request(*proposed: Proposed, extended: dict[str, bytes] | None = None) -> bytes:
    """An A-ASSOCIATE-RQ, of C-ECHO and C-STORE unless told otherwise."""
    contexts = proposed or (
        Proposed(abstract_syntax=VERIFICATION, transfer_syntaxes=[IMPLICIT]),
        Proposed(abstract_syntax=CT, transfer_syntaxes=[EXPLICIT]),
    )
    return negotiation.write_request(
        calling="WIRE",
        called="BOX",
        proposed=agreement.numbered(contexts),
        extended=extended or {},
        pdu_size=16384,
    )


def p_data(context_id: int, control: int, data: bytes) -> bytes:
    """A P-DATA-TF PDU of one fragment."""
    return struct.pack(">BxIIBB", framing.P_DATA, len(data) + 6, len(data) + 2, context_id, control) + data


def message(context_id: int, command: dict[str, object], data: bytes | None = None) -> bytes:
    """A message of one PDU for its command set and one for its data set."""
    encoded = commands.encode(command, has_data=data is not None)
    whole = p_data(context_id, framing.COMMAND | framing.LAST, encoded)
    return whole if data is None else whole + p_data(context_id, framing.LAST, data)


def echo(message_id: int = 1) -> bytes:
    """A C-ECHO-RQ in the first presentation context."""
    command = {
        "AffectedSOPClassUID": VERIFICATION,
        "CommandField": commands.C_ECHO_RQ,
        "MessageID": message_id,
    }
    return message(1, command)


def store(data: bytes, message_id: int = 1, uid: str = "1.2.3") -> bytes:
    """A C-STORE-RQ in the second presentation context."""
    return message(
        3,
        {
            "AffectedSOPClassUID": CT,
            "AffectedSOPInstanceUID": uid,
            "CommandField": commands.C_STORE_RQ,
            "MessageID": message_id,
            "Priority": 0,
        },
        data,
    )


RELEASE_RQ, RELEASE_RP, ABORT = (
    short_pdu(kind) for kind in (framing.RELEASE_RQ, framing.RELEASE_RP, framing.ABORT)
)


@contextlib.asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    """A peer made by hand that is connected to ours."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def scripted(script: Callable[[Wire], Awaitable[None]]) -> AsyncIterator[int]:
    """A peer made by hand that waits for one connection; what goes wrong in its script comes out here."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(Wire(reader, writer))
            done.set_result(None)
        except Exception as error:  # noqa: BLE001  (it is told to the test)
            done.set_exception(error)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(done, 60)
    finally:
        server.close()


@contextlib.contextmanager
def pynetdicom_acceptor(
    entity: ApplicationEntity, handlers: Sequence[tuple[object, Callable[..., object]]] = ()
):
    """pynetdicom's acceptor in threads of its own; gives its port."""
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(handlers))
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


async def answered(peer: Wire, *, source: int, reason: int) -> None:
    """A-ABORT has to come next, and then the end."""
    kind, body = await peer.pdu()
    assert (kind, tuple(body)) == (framing.ABORT, (0, 0, source, reason))
    peer.writer.close()
