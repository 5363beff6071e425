"""A box behind its DIMSE door, on a real socket in this process; requests to it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom import dcmread

from dicomweb_box.box import Box
from dicomweb_box.dimse import server
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association, Data
from dicomweb_box.upper_layer.commands import Command
from dicomweb_box.upper_layer.requestor import Proposed, request

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"


@dataclass(kw_only=True)
class Door:
    """A served box; `stop` is what the role sets when it is told to end."""

    port: int
    stop: asyncio.Event
    task: asyncio.Task[None]


@asynccontextmanager
async def serving(box: Box) -> AsyncIterator[Door]:
    """The box's DIMSE door on a free port."""
    stop, accepting = asyncio.Event(), asyncio.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        port = listener.getsockname()[1]
        task = asyncio.create_task(server.serve(box, [(listener, None)], stop, when_accepting=accepting.set))
        try:
            await accepting.wait()
            yield Door(port=port, stop=stop, task=task)
        finally:
            stop.set()
            await asyncio.wait_for(task, 30)


async def call(
    port: int, *contexts: tuple[str, str], calling: str = "MODALITY1", called: str = "DICOMWEB_BOX"
) -> Association:
    """An association with a box, for contexts of class and transfer syntax."""
    return await request(
        "127.0.0.1",
        port,
        calling=calling,
        called=called,
        contexts=[Proposed(abstract_syntax=uid, transfer_syntaxes=[syntax]) for uid, syntax in contexts],
    )


async def store(association: Association, instance: bytes, **told: Any) -> Command:
    """The response to the C-STORE of a Part 10 file; `told` goes into the command instead."""
    meta = dcmread(BytesIO(instance), stop_before_pixels=True).file_meta
    said = {
        "AffectedSOPClassUID": str(meta.MediaStorageSOPClassUID),
        "AffectedSOPInstanceUID": str(meta.MediaStorageSOPInstanceUID),
        **told,
    }
    return await store_bytes(association, dataset_of(instance), **said)


async def store_bytes(association: Association, data: Data | None, **told: Any) -> Command:
    """The response to a C-STORE in the first context that was accepted."""
    context = next(iter(association.contexts.values()))
    command = {"CommandField": commands.C_STORE_RQ, "Priority": 0, **told}
    return (await association.ask_one(context, command, data)).command


async def echo(association: Association) -> Command:
    """The response to a C-ECHO."""
    context = next(one for one in association.contexts.values() if one.abstract_syntax == VERIFICATION)
    command = {"CommandField": commands.C_ECHO_RQ, "AffectedSOPClassUID": VERIFICATION}
    return (await association.ask_one(context, command)).command


def dataset_of(instance: bytes) -> bytes:
    """What follows File Meta Information in a Part 10 file that pydicom wrote."""
    assert instance[132:140] == b"\2\0\0\0UL\4\0"
    return instance[144 + int.from_bytes(instance[140:144], "little") :]
