"""C-MOVE as SCP (PS3.4 C.4.2): instances go to a peer that the caller names, over associations with it."""

import asyncio
import logging
from contextlib import aclosing
from functools import partial

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.audit import Entry
from dicomweb_box.accounts.audit_reads import reads
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive.retrieve_keys import Found
from dicomweb_box.dicom.retrieve_identifier import Root
from dicomweb_box.dimse import statuses, suboperations
from dicomweb_box.dimse.call import Call
from dicomweb_box.dimse.suboperations import UNKNOWN_DESTINATION, Progress, Refused, telling, until, wanted
from dicomweb_box.outbound import peers
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.services import Service
from dicomweb_box.outbound.storing import Originator, store_to
from dicomweb_box.upper_layer.message import Message

log = logging.getLogger(__name__)

LAST = 2.0
"""Seconds that what is being sent has to end, once the caller cancels."""
ENOUGH = 16
"""Instances that make another association worth asking for."""


async def move(call: Call, message: Message, *, root: Root) -> None:
    """Send the peer what the caller names; raises Aborted where the caller's association ends before."""
    try:
        peer = await _destination(call, message)
        found = await wanted(call, message, root)
    except Refused as refused:
        await suboperations.refuse(call, message, refused)
        return
    await _audit(call, peer, found)
    stop = call.association.cancelled(message.command["MessageID"])
    progress = Progress(total=found.total)
    if found.total:
        async with telling(call, message, progress):
            await _send(call, message, peer, found, progress, stop)
    call.counts["moved"] += progress.completed + progress.warning
    log.info(
        "moved to %s for %s: %d stored, %d failed",
        peer.name, call.caller.source, progress.completed + progress.warning, progress.failed,
    )  # fmt: skip
    await suboperations.end(call, message, progress, stop)


async def _destination(call: Call, message: Message) -> Peer:
    """The peer that is to get it; raises Refused where there is none, or the caller may not send to it."""
    title = str(message.command.get("MoveDestination", "")).strip()
    peer = await peers.by_ae_title(call.box, title)
    to_itself = title == call.association.calling_ae_title.strip()
    if not call.caller.may(Service.RETRIEVE if to_itself else Service.MOVE):
        action = Action.RETRIEVE if to_itself else Action.EXPORT
        reads(call.box).note(call.caller.identity.actor, action, "refused")
        raise Refused(statuses.NOT_AUTHORIZED, "the caller may not have instances sent there")
    if peer is None or peer.host is None:
        raise Refused(UNKNOWN_DESTINATION, "no peer to send to has this AE title")
    return peer


async def _audit(call: Call, peer: Peer, found: Found) -> None:
    """Sending to others is recorded before it begins; what a caller gets for itself is a read."""
    actor = call.caller.identity.actor
    if not found.total:
        reads(call.box).note(actor, Action.RETRIEVE, "not found")
    elif peer.ae_title == call.association.calling_ae_title.strip():
        for study in found.studies:
            reads(call.box).note(actor, Action.RETRIEVE, "success", study)
    else:
        about = {"peer": peer.name, "AE title": peer.ae_title}
        entries = (
            Entry(actor=actor, action=Action.EXPORT, study=study, about=about, count=count)
            for study, count in sorted(found.studies.items())
        )
        await audit.recorded(call.box, *entries)


async def _send(
    call: Call, message: Message, peer: Peer, found: Found, progress: Progress, stop: asyncio.Event
) -> None:
    """Sub-operations until all have ended, or shortly after the caller cancelled."""
    originator = Originator(
        ae_title=call.association.calling_ae_title.strip(),
        message_id=message.command["MessageID"],
        priority=message.command.get("Priority", 0),
    )
    parallel = min(call.box.settings.dimse_move_associations, 1 + found.total // ENOUGH)
    results = store_to(
        call.box,
        peer,
        until(stop, found.instances()),
        kinds=found.kinds,
        originator=originator,
        parallel=parallel,
    )
    try:
        async with asyncio.timeout(None) as limit:
            watch = asyncio.create_task(_hurry(stop, limit))
            try:
                async with aclosing(results):
                    async for result in results:
                        progress.count(result)
            finally:
                watch.cancel()
    except TimeoutError:
        if not stop.is_set():
            raise


async def _hurry(stop: asyncio.Event, limit: asyncio.Timeout) -> None:
    await stop.wait()
    limit.reschedule(asyncio.get_running_loop().time() + LAST)


patient_root, study_root = partial(move, root="patient"), partial(move, root="study")
