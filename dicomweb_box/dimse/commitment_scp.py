"""Storage Commitment Push Model as SCP (PS3.4 J.3): N-ACTION is answered once the request is durable."""

import asyncio
import logging
from functools import partial
from typing import Final

from dicomweb_box.accounts.access import Scope
from dicomweb_box.box import Box
from dicomweb_box.database import Writer
from dicomweb_box.dicom import commitment
from dicomweb_box.dicom.commitment import Asked
from dicomweb_box.dimse import statuses
from dicomweb_box.dimse.call import Call
from dicomweb_box.errors import BadRequest, UnreadableInstance
from dicomweb_box.outbound import commitments, worker
from dicomweb_box.outbound.commitments import INSTANCE, Open
from dicomweb_box.outbound.leases import Batch
from dicomweb_box.outbound.worker import Desk, Handler
from dicomweb_box.upper_layer.message import Message
from dicomweb_box.upper_layer.responses import response

log = logging.getLogger(__name__)

LARGEST: Final = 32 << 20
"""Bytes of a request."""
AT_ONCE: Final = 32
"""Reports that a process makes over the associations that asked; what is more is the worker's."""
_NO_SUCH_INSTANCE, _NO_ARGUMENT, _NO_SUCH_ACTION = 0x0112, 0x0114, 0x0123  # PS3.7 C.5


class _Reports:
    """The reports of this process that are under way."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def full(self) -> bool:
        return len(self._tasks) >= AT_ONCE

    def begin(self, batch: Batch, over: Open) -> None:
        """Report, over the association that asked as long as it is open."""
        handler = Handler(most=1, run=partial(commitments.report, over=over))
        task = asyncio.create_task(worker.do(self._box, Desk(self._box, batch), handler))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Leave what is under way to the worker."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def commit(call: Call, message: Message) -> None:
    """Keep what is asked for and answer; the report follows. Raises Aborted, TooLarge."""
    command = message.command
    if command.get("RequestedSOPInstanceUID") != INSTANCE:
        await _answer(call, message, _NO_SUCH_INSTANCE, "no such SOP instance")
        return
    if command.get("ActionTypeID") != 1:
        await _answer(call, message, _NO_SUCH_ACTION, "no such action type")
        return
    try:
        asked = commitment.asked(await message.whole(LARGEST), message.context.transfer_syntax)
    except (BadRequest, UnreadableInstance) as error:
        await _answer(call, message, _NO_ARGUMENT, str(error))
        return
    reports = call.box.resource(_Reports, _Reports)
    batch = await call.box.database.write(lambda w: _kept(w, call, asked, taken=not reports.full))
    call.counts["commitments asked for"] += 1
    await _answer(call, message, statuses.SUCCESS)
    if batch is not None:
        reports.begin(batch, Open(call.association, message.context))


async def _kept(w: Writer, call: Call, asked: Asked, *, taken: bool) -> Batch | None:
    caller = call.caller
    scope: Scope = caller.identity.scope
    # Of who is no peer, reports can only go over the association that they asked over.
    name = caller.peer.name if caller.peer is not None else caller.source
    return await commitments.ask(
        w, call.box, asked, peer=name, actor=caller.identity.actor, scope=scope, taken=taken
    )


async def _answer(call: Call, message: Message, status: int, comment: str = "") -> None:
    answer = response(message, status, comment, ActionTypeID=message.command.get("ActionTypeID"))
    await call.association.send(message.context, answer)
