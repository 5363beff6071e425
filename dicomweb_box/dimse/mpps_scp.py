"""N-CREATE and N-SET as SCP of Modality Performed Procedure Step (PS3.4 F.7.2)."""

import io
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import uuid4

from dicomweb_box.archive import performed
from dicomweb_box.archive.performed import BadStatus, StatusMissing, StepEnded
from dicomweb_box.box import in_thread
from dicomweb_box.dicom.uids import EXPLICIT_BIG, IMPLICIT_LITTLE, clean_uid
from dicomweb_box.dimse import statuses
from dicomweb_box.dimse.call import Call
from dicomweb_box.errors import BadRequest, BoxError, Conflict, NotFound, UnreadableInstance
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.message import Message
from dicomweb_box.upper_layer.responses import response

log = logging.getLogger(__name__)

PERFORMED_STEP: Final = "1.2.840.10008.3.1.2.3.3"
_MOST: Final = 4 << 20
_NO_LONGER: Final = 0xA506
"""Error ID of a step that has ended (PS3.4 F.7.2.2.2)."""


class BadUid(BadRequest):
    """A SOP Instance UID that is none."""


async def create(call: Call, message: Message) -> None:
    """Keep a step that a modality begins, and answer; raises what the association raises, and TooLarge."""
    asked = message.command.get("AffectedSOPInstanceUID")
    # PS3.7 10.1.5.1.4: where the requestor names none, we do.
    uid = _uid(asked) if asked else f"2.25.{uuid4().int}"

    async def begin() -> None:
        if uid is None:
            raise BadUid("Affected SOP Instance UID is no UID")
        attributes = await _attributes(call, message)
        await performed.begin(
            call.box,
            uid,
            attributes,
            source=call.caller.source,
            scope=call.caller.identity.scope,
            actor=call.caller.identity.actor,
        )

    await _answered(call, message, begin, AffectedSOPInstanceUID=uid)


async def set(call: Call, message: Message) -> None:  # noqa: A001 - the service's own name
    """Change or end a step, and answer; raises what the association raises, and TooLarge."""

    async def update() -> None:
        uid = _uid(message.command.get("RequestedSOPInstanceUID"))
        if uid is None:
            raise NotFound("There is no such performed step.")
        attributes = await _attributes(call, message)
        await performed.update(
            call.box, uid, attributes, source=call.caller.source, actor=call.caller.identity.actor
        )

    await _answered(call, message, update)


async def _answered(call: Call, message: Message, work: Callable[[], Awaitable[None]], **more: Any) -> None:
    status, comment = statuses.SUCCESS, ""
    try:
        await work()
    except UpperLayerError:
        raise
    except BoxError as error:
        status, comment = _status(error), str(error)
        log.info("a performed step of %s was refused: %04X", call.caller.source, status)
        if isinstance(error, StepEnded):
            more["ErrorID"] = _NO_LONGER
    call.counts["steps" if status == statuses.SUCCESS else "refused"] += 1
    await call.association.send(message.context, response(message, status, comment, **more))


def _status(error: BoxError) -> int:
    """PS3.7 C.5 and PS3.4 F.7.2.2."""
    match error:
        case StatusMissing():
            return statuses.MISSING_ATTRIBUTE
        case BadStatus():
            return statuses.INVALID_ATTRIBUTE_VALUE
        case StepEnded():
            return statuses.PROCESSING_FAILURE
        case Conflict():
            return statuses.DUPLICATE_INSTANCE
        case NotFound():
            return statuses.NO_SUCH_INSTANCE
        case BadUid():
            return statuses.INVALID_INSTANCE
    return statuses.PROCESSING_FAILURE


def _uid(text: Any) -> str | None:
    return clean_uid(str(text or "").encode("ascii", "replace"))


async def _attributes(call: Call, message: Message) -> dict[str, Any]:
    data = await message.whole(_MOST)
    return await in_thread(call.box, _parsed, data, message.context.transfer_syntax)


def _parsed(data: bytes, transfer_syntax: str) -> dict[str, Any]:
    # Steps are few and rarely larger than some kilobytes: here pydicom is fast enough.
    from pydicom.filereader import read_dataset

    try:
        found = read_dataset(
            io.BytesIO(data), transfer_syntax == IMPLICIT_LITTLE, transfer_syntax != EXPLICIT_BIG
        )
        json: dict[str, Any] = found.to_json_dict(suppress_invalid_tags=True)
    except Exception as error:  # pydicom raises whatever a broken data set makes it meet
        raise UnreadableInstance("the data set cannot be read") from error
    return json
