"""A hundred thousand broken sessions of PDUs: each ends, nothing of it stays, and the next peer is served."""

import asyncio
import contextlib
import gc
import logging
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomweb_box.upper_layer import agreement, commands, framing, negotiation
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.connection import short_pdu
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.limits import Limits, Timeouts
from dicomweb_box.upper_layer.message import Message
from dicomweb_box.upper_layer.requestor import Proposed, request
from tests.upper_layer.mutations import broken, sessions, stored
from tests.upper_layer.peers import (
    CT,
    EXPLICIT,
    IMPLICIT,
    RELEASE_RQ,
    VERIFICATION,
    anything,
    echo,
    response,
    serving,
    store,
    wire,
)

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")

AT_A_TIME = 16
EACH = 500
BRIEF = Timeouts(connect=5, associate=5, close=0.2, idle=5, network=5, response=5)
MORE = 24 << 20
"""Bytes that a process may have grown by, for what the allocator keeps."""


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def serve(association: Association) -> None:
    while (message := await association.receive()) is not None:
        await answer(association, message)


async def answer(association: Association, message: Message) -> None:
    """As services do: read it all, some, or nothing; ask back over the same association."""
    field = message.command.CommandField
    if field == commands.C_STORE_RQ and message.command.MessageID != 2:
        async for _ in message.pieces():
            pass
    if field == commands.C_GET_RQ and 3 in association.contexts:
        command = {"AffectedSOPClassUID": CT, "CommandField": commands.C_STORE_RQ}
        await association.ask_one(association.contexts[3], command, bytes(5000))
    await association.send(message.context, response(message))


class Loud(logging.Handler):
    """Keeps the lines that are worth more than one for information."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        line = self.format(record)
        if record.levelno > logging.INFO or record.exc_info:
            self.lines.append(line)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that peers do is worth more than a line for information."""
    handler = Loud()
    for name in ("dicomweb_box", "pynetdicom", "asyncio"):
        log = logging.getLogger(name)
        monkeypatch.setattr(log, "handlers", [handler])
    monkeypatch.setattr(logging.getLogger("dicomweb_box"), "level", logging.INFO)
    # pydicom warns of odd UIDs, quoting them, which the program's log leaves out.
    monkeypatch.setattr(logging.getLogger("pydicom"), "disabled", True)
    logging.getLogger().manager._clear_cache()
    yield
    assert handler.count
    assert handler.lines == []


async def settled(tasks: int) -> None:
    async with asyncio.timeout(90):
        while len(asyncio.all_tasks()) > tasks:
            await asyncio.sleep(0.02)


async def test_broken_sessions_leave_nothing_behind(soak: bool, chance: random.Random, quiet: None):
    seeds = sessions()
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def attack(port: int) -> None:
        session = broken(chance.choice(seeds), chance)
        async with wire(port) as peer:
            peer.send(session)
            if peer.writer.can_write_eof():
                with contextlib.suppress(OSError):
                    peer.writer.write_eof()
            async with asyncio.timeout(90):
                with contextlib.suppress(OSError):
                    await peer.reader.read()

    limits = Limits(timeouts=BRIEF)
    async with serving(serve, limits=limits) as port:
        before, threads = 0, threading.active_count()
        await asyncio.sleep(0.1)  # until it accepts
        tasks = len(asyncio.all_tasks())
        for number in range(100_000 // EACH if soak else 6):
            for _ in range(EACH // AT_A_TIME):
                await asyncio.gather(*(attack(port) for _ in range(AT_A_TIME)))
            await settled(tasks)
            await greet(port)
            gc.collect()
            before = before or (memory() if number == 1 else 0)
        assert memory() - before < MORE
        assert threading.active_count() == threads
    assert complaints == []


async def greet(port: int) -> None:
    """A peer that does as it should is served."""
    async with wire(port) as peer:
        await peer.associate()
        peer.send(store(b"data"), echo(2), RELEASE_RQ)
        assert (await peer.message())[0]["Status"] == 0
        assert (await peer.message())[0]["MessageIDBeingRespondedTo"] == 2
        assert await peer.pdu() == (framing.RELEASE_RP, bytes(4))


async def test_broken_answers_end_in_an_error_of_ours(soak: bool, chance: random.Random, quiet: None):
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    contexts = [
        Proposed(abstract_syntax=VERIFICATION, transfer_syntaxes=[IMPLICIT]),
        Proposed(abstract_syntax=CT, transfer_syntaxes=[EXPLICIT], as_scp=True),
    ]

    async def accepted() -> bytes:
        pdu = negotiation.write_request(
            calling="BOX",
            called="PEER",
            proposed=agreement.numbered(contexts),
            extended={CT: b"\1"},
            pdu_size=16384,
        )
        read = negotiation.read_request(pdu[6:], peer_address="")
        assert isinstance(read, agreement.AssociationRequest)
        acceptance = await anything(read)
        assert isinstance(acceptance, agreement.Acceptance)
        return negotiation.accept(read, acceptance, pdu_size=16384)[1]

    acceptance = await accepted()
    seeds = [
        [acceptance, stored(1), stored(2)],
        [acceptance, stored(1, 0xFF00), store(bytes(9000)), stored(1), RELEASE_RQ],
        [short_pdu(framing.ASSOCIATE_RJ, 1, 1, 7)],
    ]

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(broken(chance.choice(seeds), chance))
            writer.write_eof()
            await reader.read()
        writer.close()

    async def ask(port: int) -> None:
        command = {"AffectedSOPClassUID": CT, "CommandField": commands.C_STORE_RQ}
        association = await request(
            "127.0.0.1", port, calling="BOX", called="PEER", contexts=contexts, timeouts=BRIEF
        )
        try:
            for context in association.contexts.values():
                async for answered in association.ask(context, command, bytes(5000)):
                    await answered.whole()
        finally:
            await association.release()
            await association.closed()

    async def attack(port: int) -> None:
        async with asyncio.timeout(90):
            with contextlib.suppress(UpperLayerError):
                await ask(port)

    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    tasks, before = len(asyncio.all_tasks()), 0
    for number in range(20_000 // EACH if soak else 3):
        for _ in range(EACH // AT_A_TIME):
            await asyncio.gather(*(attack(port) for _ in range(AT_A_TIME)))
        await settled(tasks)
        gc.collect()
        before = before or (memory() if number == 1 else 0)
    assert memory() - before < MORE
    server.close()
    assert complaints == []
