"""The load over DIMSE: associations of our own upper layer, which costs a client next to nothing."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

from bench.load import Done
from bench.objects import Made
from dicomweb_box.dicom.remote_query import identifier, remote_query
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.requestor import Proposed, request

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
EXPLICIT = "1.2.840.10008.1.2.1"


def store(port: int, called: str, made: Iterator[Made], *, associations: int, seconds: float) -> Done:
    """Stores CTs one after another over each association for so long; counts what was acknowledged."""
    return asyncio.run(_store(port, called, made, associations, seconds))


async def _store(port: int, called: str, made: Iterator[Made], count: int, seconds: float) -> Done:
    async with AsyncExitStack() as stack:
        opened = [await _associated(port, called) for _ in range(count)]
        for association in opened:
            stack.push_async_callback(association.release)
        began = time.monotonic()
        results = await asyncio.gather(*(_store_on(one, made, began + seconds) for one in opened))
        took = time.monotonic() - began
    failed = [problem for _, problem in results if problem]
    return Done(count=sum(stored for stored, _ in results), seconds=took, failed="; ".join(failed[:1]))


def find(port: int, called: str, patients: Sequence[str], *, seconds: float) -> Done:
    """Asks for the studies of one patient after another over one association; counts what was answered."""
    return asyncio.run(_find(port, called, patients, seconds))


async def _find(port: int, called: str, patients: Sequence[str], seconds: float) -> Done:
    association = await _associated(port, called, FIND)
    (context,) = association.contexts.values()
    command = {"CommandField": commands.C_FIND_RQ, "Priority": 0, "AffectedSOPClassUID": FIND}
    asked = [
        identifier(remote_query("study", {"PatientID": one}), transfer_syntax=EXPLICIT, charset=None)
        for one in patients
    ]
    count, failed, began = 0, "", time.monotonic()
    while not failed and time.monotonic() < began + seconds:
        statuses = [
            message.command["Status"]
            async for message in association.ask(context, command, asked[count % len(asked)])
        ]
        if statuses[-1] != 0 or len(statuses) < 2:
            failed = f"answers {len(statuses) - 1} studies, {statuses[-1]:04X}"
        count += 1
    took = time.monotonic() - began
    await association.release()
    return Done(count=count, seconds=took, failed=failed)


async def _associated(port: int, called: str, service: str = CT) -> Association:
    contexts = [Proposed(abstract_syntax=service, transfer_syntaxes=[EXPLICIT])]
    return await request("127.0.0.1", port, calling="BENCH", called=called, contexts=contexts)


async def _store_on(association: Association, made: Iterator[Made], end: float) -> tuple[int, str]:
    """How many were stored, and what went wrong."""
    (context,) = association.contexts.values()
    stored = 0
    while time.monotonic() < end:
        one = next(made)
        command = {
            "CommandField": commands.C_STORE_RQ,
            "Priority": 0,
            "AffectedSOPClassUID": CT,
            "AffectedSOPInstanceUID": one.instance_uid,
        }
        try:
            status = (await association.ask_one(context, command, _dataset(one.data))).command["Status"]
        except UpperLayerError as error:
            return stored, str(error)
        if status != 0:
            return stored, f"answers {status:04X}"
        stored += 1
    return stored, ""


def _dataset(data: bytes) -> memoryview:
    """What follows File Meta Information (PS3.10 7.1)."""
    return memoryview(data)[144 + int.from_bytes(data[140:144], "little") :]
