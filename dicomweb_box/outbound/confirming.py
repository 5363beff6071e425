"""Storage Commitment as SCU (PS3.4 J): asks peers whether they keep what was sent to them, and hears them.

A peer reports over the association that it was asked over, or over one of its own. Either way the report ends
the item that asked, whoever is at it; where none comes in time, the peer is asked again.
"""

import asyncio
import uuid
from contextlib import suppress
from datetime import timedelta
from typing import Final

from dicomweb_box.box import Box
from dicomweb_box.dicom import commitment
from dicomweb_box.errors import BadRequest, PeerRefused, PeerUnreachable, UnreadableInstance
from dicomweb_box.outbound import commitments, confirmations, dimse_scu
from dicomweb_box.outbound.commitments import FINAL, INSTANCE, PUSH
from dicomweb_box.outbound.confirmations import LOOK_AGAIN, Part
from dicomweb_box.outbound.dimse_scu import PLAIN, context_of, sentence
from dicomweb_box.outbound.worker import Desk
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.message import Message
from dicomweb_box.upper_layer.requestor import Proposed
from dicomweb_box.upper_layer.responses import response

LISTEN: Final = 5.0
"""Seconds for which the association that asked stays open for the report."""
LARGEST: Final = 32 << 20
"""Bytes of a report."""
_LOOK_EVERY: Final = 0.1
_SUCCESS, _NO_SUCH_EVENT, _NO_ARGUMENT, _INVALID_ARGUMENT = 0x0000, 0x0113, 0x0114, 0x0115  # PS3.7 C.5
_UNRECOGNIZED: Final = 0x0211
_EVENTS: Final = (1, 2)
"""All are kept, some are not (PS3.4 J.3.3)."""


async def commit(box: Box, desk: Desk) -> None:
    """Do a transfer of kind `commitment`: ask a peer, or report to one that asked; raises PeerUnreachable."""
    if desk.batch.transfer.asks:
        await ask(box, desk)
    else:
        await commitments.report(box, desk)


async def ask(box: Box, desk: Desk) -> None:
    """Ask the peer whether it keeps what was sent to it; raises PeerUnreachable."""
    (item,) = desk.batch.items
    part = await confirmations.part_of(box, desk.batch.transfer.id, item.number)
    if part is None:
        await desk.settle(item.number, "failed", "What was sent is forgotten.")
    elif part.open:
        await desk.settle(item.number, "unbegun", due=box.clock() + LOOK_AGAIN)
    elif part.references:
        try:
            await _ask(box, desk, part)
        except PeerRefused as error:
            await desk.settle(item.number, "refused", f"Not confirmed: {error}")
    else:
        words = f"{part.unknown} instances are here no more and could not be asked for."
        await desk.settle(item.number, "delivered", words if part.unknown else "", done=part.verified)


async def _ask(box: Box, desk: Desk, part: Part) -> None:
    (item,), asking = desk.batch.items, desk.batch.transfer
    peer = await desk.peer()
    if peer is None:
        return
    association = await dimse_scu.called(box, peer, [Proposed(abstract_syntax=PUSH, transfer_syntaxes=PLAIN)])
    try:
        transaction = f"2.25.{uuid.uuid4().int}"
        await desk.write(lambda w: confirmations.asked(w, box, asking.id, item.number, transaction))
        status = await _request(association, transaction, part)
        if status == _SUCCESS or status >> 12 == 0xB:
            await _listen(box, desk, association)
    except UpperLayerError as error:
        raise PeerUnreachable(sentence(error)) from error
    finally:
        await dimse_scu.ended(association)
    if status in FINAL:
        words = f"Not confirmed: the peer does not take the request (status {status:04X})."
        await desk.settle(item.number, "refused", words)
    elif status != _SUCCESS and status >> 12 != 0xB:
        await desk.settle(item.number, "again", f"Not confirmed: the peer failed (status {status:04X}).")
    else:
        # Where the report has come, the item has ended already, and this is not heard.
        due = box.clock() + timedelta(seconds=box.settings.dimse_commitment_timeout)
        words = "Not confirmed: the peer was asked and has not reported."
        await desk.settle(item.number, "again", words, due=due)


async def _request(association: Association, transaction: str, part: Part) -> int:
    """The peer's status for the request (PS3.7 10.1.4)."""
    context = context_of(association, PUSH)
    if context is None:
        raise PeerRefused("The peer does not serve Storage Commitment.")
    data = commitment.request(transaction, part.references, transfer_syntax=context.transfer_syntax)
    command = {
        "CommandField": commands.N_ACTION_RQ,
        "RequestedSOPClassUID": PUSH,
        "RequestedSOPInstanceUID": INSTANCE,
        "ActionTypeID": 1,
    }
    answer = await association.ask_one(context, command, data)
    return int(answer.command.get("Status", 0x0110))


async def _listen(box: Box, desk: Desk, association: Association) -> None:
    """Hear the report over the association that asked, for a while, or until it has come elsewhere."""
    serving = asyncio.create_task(_serve(box, desk, association))
    (item,) = desk.batch.items
    try:
        async with asyncio.timeout(LISTEN):
            while not serving.done() and not desk.stopped.is_set():
                if await confirmations.is_said(box, desk.batch.transfer.id, item.number):
                    break
                await asyncio.wait((serving,), timeout=_LOOK_EVERY)
    except TimeoutError:
        pass
    finally:
        association.leave()
        with suppress(UpperLayerError):
            await serving


async def _serve(box: Box, desk: Desk, association: Association) -> None:
    while (message := await association.receive()) is not None:
        status, comment = _UNRECOGNIZED, "only reports of Storage Commitment are served here"
        if message.command["CommandField"] == commands.N_EVENT_REPORT_RQ:
            status, comment = await heard(box, message, desk.batch.transfer.peer)
        await association.send(
            message.context,
            response(message, status, comment, EventTypeID=message.command.get("EventTypeID")),
        )


async def heard(box: Box, message: Message, peer: str) -> tuple[int, str]:
    """Keep the report of a peer, durable; status and Error Comment of the answer (PS3.7 10.1.1.1.8)."""
    if message.command.get("EventTypeID") not in _EVENTS:
        return _NO_SUCH_EVENT, "no such event type"
    try:
        said = commitment.told(await message.whole(LARGEST), message.context.transfer_syntax)
    except (BadRequest, UnreadableInstance) as error:
        return _NO_ARGUMENT, str(error)
    if not await box.database.write(lambda w: confirmations.told(w, box, said, peer)):
        return _INVALID_ARGUMENT, "no such transaction was asked for"
    return _SUCCESS, ""
