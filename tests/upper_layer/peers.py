"""Both ends of associations for tests: ours as acceptor, and DCMTK and pynetdicom as the others."""

import asyncio
import contextlib
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pynetdicom.ae import ApplicationEntity

from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.acceptor import Policy, Talk, serve
from dicomweb_box.upper_layer.association import Association, Message
from dicomweb_box.upper_layer.limits import Limits, Timeouts
from dicomweb_box.upper_layer.negotiation import Acceptance, AssociationRequest, Rejection

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"

QUICK = Timeouts(connect=3, associate=3, close=1, idle=10, network=5, response=10)


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


async def run(*arguments: str | Path, within: float = 30) -> str:
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
