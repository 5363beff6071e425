"""C-FINDs that are cancelled or given up in the middle of their answers: each ends, nothing is left open."""

import asyncio
import random
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field

import httpx
import pytest
from pydicom.dataset import Dataset

from conformance.objects import multipart
from conformance.server import Server
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.limits import Timeouts
from dicomweb_box.upper_layer.requestor import Proposed, request
from tests.dimse.associations import encoded
from tests.soak.load import RELATED, instance
from tests.soak.processes import peaks
from tests.soak.test_dimse import ASSOCIATIONS, EXPLICIT, held, server, threads
from tests.waiting import until

__all__ = ["server"]  # the fixture

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
SUCCESS, CANCELLED = 0x0000, 0xFE00
AT_A_TIME = 100


@dataclass
class Ended:
    """How the searches ended."""

    ways: Counter[str] = field(default_factory=Counter)


def fill(server: Server, studies: int) -> None:
    """Store studies of one instance each."""
    with httpx.Client(timeout=120) as client:
        for first in range(0, studies, AT_A_TIME):
            body = multipart([instance(one, study=one) for one in range(first, first + AT_A_TIME)])
            answer = client.post(
                f"{server.dicomweb}/studies", content=body, headers={"Content-Type": RELATED}
            )
            assert answer.status_code == 200


async def associated(port: int) -> Association:
    context = Proposed(abstract_syntax=FIND, transfer_syntaxes=[EXPLICIT])
    return await request(
        "127.0.0.1",
        port,
        calling="SOAK",
        called="DICOMWEB_BOX",
        contexts=[context],
        # This process asks for much at once, and may be long in hearing that it was answered.
        timeouts=Timeouts(connect=120, associate=120, network=120, response=600),
    )


def identifier() -> bytes:
    asked = Dataset()
    asked.QueryRetrieveLevel = "STUDY"
    asked.StudyInstanceUID = asked.StudyDescription = asked.PatientName = asked.StudyDate = ""
    return encoded(asked)


async def search(association: Association, number: int, cancel_after: int | None) -> tuple[int, int]:
    """How many answers came, and the final status; cancelled with the request where that is after none."""
    (context,) = association.contexts.values()
    command = {
        "CommandField": commands.C_FIND_RQ,
        "AffectedSOPClassUID": FIND,
        "MessageID": number,
        "Priority": 0,
    }
    count, status = 0, SUCCESS
    async with aclosing(association.ask(context, command, identifier())) as answers:
        first = asyncio.ensure_future(anext(answers))
        if cancel_after == 0:
            await asyncio.sleep(0)  # the request goes before it
            await association.cancel(context, number)
        message = await first
        while (status := message.command["Status"]) in commands.PENDING:
            assert await message.whole()
            count += 1
            if count == cancel_after:
                await association.cancel(context, number)
            message = await anext(answers)
    return count, status


async def give_up(association: Association, number: int, after: int) -> None:
    """Abort in the middle of the answers."""
    (context,) = association.contexts.values()
    command = {
        "CommandField": commands.C_FIND_RQ,
        "AffectedSOPClassUID": FIND,
        "MessageID": number,
        "Priority": 0,
    }
    async with aclosing(association.ask(context, command, identifier())) as answers:
        for _ in range(after):
            await anext(answers)
        await association.abort()


async def search_on(port: int, studies: int, each: int, ended: Ended, chance: random.Random) -> None:
    """Search again and again over one association after another."""
    association = await associated(port)
    for number in range(1, each + 1):
        what = chance.random()
        if what < 0.1:
            await give_up(association, number, chance.randrange(1, 20))
            ended.ways["given up"] += 1
            association = await associated(port)
            continue
        cancel_after = None if what < 0.2 else 0 if what < 0.4 else chance.randrange(1, 20)
        count, status = await search(association, number, cancel_after)
        if status == SUCCESS:
            # It was not cancelled, or all was sent before the cancel came.
            assert count == studies, (cancel_after, count)
            ended.ways["whole"] += 1
        else:
            assert (status, cancel_after is not None) == (CANCELLED, True), f"{status:04X}"
            # All may have been sent already when the cancel came before the final response.
            assert count <= studies
            ended.ways["cancelled at once" if not count else "cancelled" if count < studies else "late"] += 1
    await association.release()


@pytest.mark.dicom("PS3.4 C.4.1.3.1.2")
def test_searches_that_are_cancelled_end_so_and_leave_nothing_open(
    server: Server, soak: bool, chance: random.Random
) -> None:
    studies, each = (2000, 100) if soak else (400, 10)
    fill(server, studies)
    ended = Ended()

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(ASSOCIATIONS):
                tasks.create_task(search_on(server.dimse, studies, each, ended, chance))

    async def once() -> tuple[int, int]:
        association = await associated(server.dimse)
        found = await search(association, 1, None)
        await association.release()
        return found

    assert asyncio.run(once()) == (studies, SUCCESS)
    before, threads_before = held(server), threads(server)
    asyncio.run(run())

    assert ended.ways["cancelled"] + ended.ways["cancelled at once"] > 0, ended.ways
    assert ended.ways.total() == ASSOCIATIONS * each
    assert asyncio.run(once()) == (studies, SUCCESS)
    until(lambda: held(server) == before, what="connections or files are left over")
    # Readers of the database begin as they are needed.
    until(lambda: threads(server) <= threads_before + 8, what="threads are left over")
    assert max(peaks(server.process.pid).values()) < 400
    assert b"Traceback" not in server.log.read_bytes()
