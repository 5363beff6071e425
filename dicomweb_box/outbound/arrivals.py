"""Data sets that come by C-STORE, as the archive takes them in: from a C-GET of ours, as from any sender.

The bytes of the data set are kept as they came; File Meta Information is put before them (PS3.10 7.1).
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive.ingest import MOST_MEMORY, Expected, receive, store
from dicomweb_box.archive.outcomes import Outcome, Refused
from dicomweb_box.archive.realms import MAIN
from dicomweb_box.box import Box
from dicomweb_box.dicom.part10 import written_meta
from dicomweb_box.dicom.uids import clean_uid
from dicomweb_box.errors import FailureReason, OutOfResources
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.message import Message


async def arrived(
    box: Box,
    association: Association,
    message: Message,
    *,
    source: str,
    actor: Actor,
    scope: Scope,
    sent_by: str,
    realm: str = MAIN,
    study_uid: str | None = None,
    most_memory: int = MOST_MEMORY,
) -> Outcome:
    """What became of the instance of a C-STORE request; nothing is answered yet. Raises Aborted.

    `sent_by` is the AE title of the sender, whichever side asked for the association; `study_uid` the study
    that it has to be of.
    """
    told = _told(message)
    if isinstance(told, Refused):
        return told
    try:
        received = await receive(box, _part10(association, message, told, sent_by), most_memory=most_memory)
    except OutOfResources as error:
        return Refused(reason=FailureReason.OUT_OF_RESOURCES, message=str(error))
    expected = replace(told, study_uid=study_uid)
    return await store(box, received, source=source, actor=actor, scope=scope, expected=expected, realm=realm)


def _told(message: Message) -> Expected | Refused:
    """What the command says that the data set is; a refusal where that cannot be (PS3.7 9.1.1.1)."""
    sop_class_uid = _uid(message.command, "AffectedSOPClassUID")
    if sop_class_uid is None:
        return Refused(
            reason=FailureReason.SOP_CLASS_NOT_SUPPORTED, message="Affected SOP Class UID is no UID"
        )
    instance_uid = _uid(message.command, "AffectedSOPInstanceUID")
    if instance_uid is None:
        return Refused(reason=FailureReason.INVALID_INSTANCE, message="Affected SOP Instance UID is no UID")
    if not message.has_data:
        return Refused(reason=FailureReason.CANNOT_UNDERSTAND, message="the message brings no data set")
    return Expected(sop_class_uid=sop_class_uid, instance_uid=instance_uid)


def _uid(command: Any, keyword: str) -> str | None:
    return clean_uid(str(command.get(keyword, "")).encode("ascii", "replace"))


async def _part10(
    association: Association, message: Message, told: Expected, sent_by: str
) -> AsyncIterator[bytes | memoryview]:
    titles = (association.called_ae_title, association.calling_ae_title)
    yield written_meta(
        sop_class_uid=told.sop_class_uid or "",
        instance_uid=told.instance_uid or "",
        transfer_syntax_uid=message.context.transfer_syntax,
        sent_by=sent_by,
        received_by=titles[titles[0] == sent_by],
    )
    async for fragment in message.data():
        yield fragment
