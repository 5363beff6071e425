"""C-STORE as SCP (PS3.4 B): a data set comes in, and is answered for once it is durable.

The bytes of the data set are kept as they came; File Meta Information is put before them (PS3.10 7.1).
"""

import logging
from collections.abc import AsyncIterator

from dicomweb_box.archive.ingest import MOST_MEMORY, Expected, receive
from dicomweb_box.archive.ingest import store as store_in_archive
from dicomweb_box.archive.outcomes import Outcome, Refused, Stored
from dicomweb_box.box import Box
from dicomweb_box.dicom.part10 import written_meta
from dicomweb_box.dicom.uids import clean_uid
from dicomweb_box.dimse import statuses
from dicomweb_box.dimse.call import Call
from dicomweb_box.errors import FailureReason, OutOfResources
from dicomweb_box.upper_layer.association import Message

log = logging.getLogger(__name__)

MOST_IN_MEMORY = 64
"""Data sets of a process that may be received at once before they go to spool files sooner."""
LITTLE_MEMORY = 64 << 10


class _Receiving:
    """How many data sets this process is receiving."""

    def __init__(self, box: Box) -> None:
        self.count = 0

    @property
    def most_memory(self) -> int:
        """What one of them may hold in memory."""
        return MOST_MEMORY if self.count <= MOST_IN_MEMORY else LITTLE_MEMORY

    async def close(self) -> None:
        """Nothing is held."""


async def store(call: Call, message: Message) -> None:
    """Store what the message brings and answer for it. Raises Aborted where the association ends before."""
    outcome = await _outcome(call, message)
    call.counts["stored" if isinstance(outcome, Stored) else "refused"] += 1
    if isinstance(outcome, Refused):
        log.warning(
            "refused an instance from %s: %04X, %s (SHA-256 %s)",
            call.caller.source, outcome.reason, outcome.message, outcome.sha256 or "not known",
        )  # fmt: skip
    status, comment = statuses.of_outcome(outcome)
    await call.association.send(message.context, statuses.response(message, status, comment))


async def _outcome(call: Call, message: Message) -> Outcome:
    told = _told(message)
    if isinstance(told, Refused):
        return told
    receiving = call.box.resource(_Receiving, _Receiving)
    receiving.count += 1
    try:
        received = await receive(call.box, _part10(call, message, told), most_memory=receiving.most_memory)
    except OutOfResources as error:
        return Refused(reason=FailureReason.OUT_OF_RESOURCES, message=str(error))
    finally:
        receiving.count -= 1
    caller = call.caller
    return await store_in_archive(
        call.box,
        received,
        source=caller.source,
        actor=caller.identity.actor,
        scope=caller.identity.scope,
        expected=told,
    )


def _told(message: Message) -> Expected | Refused:
    """What the command says that the data set is; a refusal where that cannot be (PS3.7 9.1.1.1)."""
    command = message.command
    sop_class_uid = clean_uid(str(command.get("AffectedSOPClassUID", "")).encode("ascii", "replace"))
    if sop_class_uid is None:
        return Refused(
            reason=FailureReason.SOP_CLASS_NOT_SUPPORTED, message="Affected SOP Class UID is no UID"
        )
    instance_uid = clean_uid(str(command.get("AffectedSOPInstanceUID", "")).encode("ascii", "replace"))
    if instance_uid is None:
        return Refused(reason=FailureReason.INVALID_INSTANCE, message="Affected SOP Instance UID is no UID")
    if not message.has_data:
        return Refused(reason=FailureReason.CANNOT_UNDERSTAND, message="the message brings no data set")
    return Expected(sop_class_uid=sop_class_uid, instance_uid=instance_uid)


async def _part10(call: Call, message: Message, told: Expected) -> AsyncIterator[bytes | memoryview]:
    association = call.association
    yield written_meta(
        sop_class_uid=told.sop_class_uid or "",
        instance_uid=told.instance_uid or "",
        transfer_syntax_uid=message.context.transfer_syntax,
        sent_by=association.calling_ae_title,
        received_by=association.called_ae_title,
    )
    async for fragment in message.data():
        yield fragment
