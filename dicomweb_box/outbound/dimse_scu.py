"""What this box asks of DICOM peers: C-FIND (PS3.4 C.4.1) and where to ask for studies."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from dicomweb_box.box import Box
from dicomweb_box.dicom import remote_query
from dicomweb_box.dicom.remote_query import Level, RemoteQuery
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.errors import PeerRefused, PeerUnreachable, UnreadableInstance
from dicomweb_box.outbound.calling import associate
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import Rejected, UpperLayerError
from dicomweb_box.upper_layer.message import Context
from dicomweb_box.upper_layer.requestor import Proposed

# Study Root Query/Retrieve (PS3.4 C.6.2)
FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
PLAIN: Final = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
"""What identifiers are written in."""

SUCCESS, CANCELLED = 0x0000, 0xFE00
MOST_ANSWERS = 500
_LARGEST_ANSWER = 1 << 20
_LONG = 86400.0

Row = Mapping[str, Any]
"""One answer, a DICOM JSON object."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a peer answered."""

    rows: Sequence[Row]
    more: bool = False
    """There are more than were asked for."""
    unsupported: bool = False
    """The peer said that it does not support a key (status FF01, PS3.4 C.4.1.1.4)."""


async def query(box: Box, peer: Peer, asked: RemoteQuery, *, most: int = MOST_ANSWERS) -> Found:
    """What the peer has of this; raises PeerUnreachable, and PeerRefused where it does not answer that."""
    association = await called(box, peer, [Proposed(abstract_syntax=FIND, transfer_syntaxes=PLAIN)])
    try:
        return await find(association, asked, charset=peer.charset, most=most)
    except UpperLayerError as error:
        raise PeerUnreachable(sentence(error)) from error
    finally:
        await ended(association)


async def called(box: Box, peer: Peer, contexts: Sequence[Proposed], *, patient: bool = False) -> Association:
    """An association with the peer; raises PeerUnreachable, and PeerRefused where it says no for good.

    `patient`: who asks looks at the time themselves, as where answers in between are optional.
    """
    try:
        return await associate(box, peer, contexts, response=_LONG if patient else None)
    except Rejected as error:
        if error.transient:
            raise PeerUnreachable(sentence(error)) from error
        raise PeerRefused(sentence(error)) from error
    except UpperLayerError as error:
        raise PeerUnreachable(sentence(error)) from error


async def ended(association: Association) -> None:
    """End an association, in order where that can be."""
    try:
        await association.release()
    except UpperLayerError:
        await association.abort()


async def find(
    association: Association,
    asked: RemoteQuery,
    *,
    charset: str | None = None,
    most: int = MOST_ANSWERS,
    message_id: int = 1,
) -> Found:
    """What is answered over an open association; raises PeerRefused, and what the upper layer raises.

    Where more is asked over the same one, each question has a `message_id` of its own: of one that was
    cancelled answers may still come.
    """
    context = context_of(association, FIND)
    if context is None:
        raise PeerRefused("The peer does not answer questions of the Study Root.")
    data = remote_query.identifier(asked, transfer_syntax=context.transfer_syntax, charset=charset)
    command = {
        "CommandField": commands.C_FIND_RQ,
        "AffectedSOPClassUID": FIND,
        "MessageID": message_id,
        "Priority": 0,
    }
    rows: list[Row] = []
    unsupported = False
    async with aclosing(association.ask(context, command, data)) as answers:
        async for message in answers:
            status = message.command.get("Status", 0)
            if status not in commands.PENDING:
                if status not in (SUCCESS, CANCELLED):
                    raise PeerRefused(f"The peer could not answer the question (status {status:04X}).")
                break
            unsupported |= status == 0xFF01
            if len(rows) < most:
                rows.append(_row(await message.whole(_LARGEST_ANSWER), context))
            elif len(rows) == most:
                # It may go on as if it had not heard; what comes is passed over.
                await association.cancel(context, message_id)
                return Found(rows=rows, more=True, unsupported=unsupported)
    return Found(rows=rows, unsupported=unsupported)


def _row(data: bytes, context: Context) -> Row:
    try:
        return remote_query.answer(data, context.transfer_syntax)
    except UnreadableInstance as error:
        raise PeerRefused("The peer's answer cannot be read.") from error


def context_of(association: Association, sop_class_uid: str) -> Context | None:
    """The accepted context in which a service can be asked for."""
    return next(
        (one for one in association.contexts.values() if one.abstract_syntax == sop_class_uid and one.as_scu),
        None,
    )


def asked_of(level: Level, **values: str) -> RemoteQuery:
    """A question of our own, by keyword."""
    return remote_query.remote_query(level, values)


def sentence(error: UpperLayerError) -> str:
    """An error of the network as a sentence for people."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
