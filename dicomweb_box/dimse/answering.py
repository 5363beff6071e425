"""What C-FIND answers have in common, whatever is searched: pending responses, cancel, the final status."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol

from dicomweb_box.accounts.audit_reads import reads
from dicomweb_box.accounts.audit_words import Action, Outcome
from dicomweb_box.dicom.identifier import WrongIdentifier
from dicomweb_box.dicom.identifier_writer import IdentifierWriter
from dicomweb_box.dicom.repertoires import UTF8
from dicomweb_box.dimse import statuses
from dicomweb_box.dimse.call import Call
from dicomweb_box.errors import BadRequest, Forbidden, OutOfResources
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.message import Message
from dicomweb_box.upper_layer.responses import response

log = logging.getLogger(__name__)

MOST_IDENTIFIER: Final = 1 << 20
"""Bytes of a request's identifier."""
_TURN: Final = 50
"""Responses written before others have their turn."""

Row = Mapping[str, Any]


class Rows(Protocol):
    """One page of matches."""

    @property
    def rows(self) -> Sequence[Row]:
        """Each a DICOM JSON object."""

    @property
    def warnings(self) -> Sequence[str]:
        """What of the request was left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Matches:
    """What is to be answered."""

    pages: AsyncGenerator[Rows]
    writer: IdentifierWriter
    unsupported: bool
    """A key of the request is not supported."""
    accepts: Callable[[Row], bool]


async def answer(call: Call, message: Message, search: Callable[[], Awaitable[Matches]]) -> None:
    """Answer a C-FIND request: a pending response for each match, then the final one.

    Raises what the association raises where it ends before, and TooLarge.
    """
    more: Mapping[str, Any] = {}
    try:
        status = await _send(call, message, await search())
    except UpperLayerError:
        raise
    except Exception as error:  # noqa: BLE001 - the peer waits for a final response, whatever happened
        status, more = _failure(error)
        log.info("C-FIND of %s failed: %04X, %s", call.caller.source, status, type(error).__name__)
    outcome: Outcome = "refused" if status == statuses.NOT_AUTHORIZED else "failed" if more else "success"
    reads(call.box).note(call.caller.identity.actor, Action.SEARCH, outcome)
    call.counts["searched"] += 1
    await call.association.send(message.context, response(message, status, **more))


async def _send(call: Call, message: Message, matches: Matches) -> int:
    cancelled = call.association.cancelled(message.command["MessageID"])
    async with aclosing(matches.pages) as pages:
        while (page := await cancelled.before(lambda: anext(pages, None))) is not None:
            optional = matches.unsupported or bool(page.warnings)
            pending = response(message, statuses.PENDING_OPTIONAL if optional else statuses.PENDING)
            for number, row in enumerate(page.rows):
                if number % _TURN == _TURN - 1:
                    await asyncio.sleep(0)
                if cancelled.is_set():
                    return statuses.CANCELLED
                if matches.accepts(row):
                    await call.association.send(message.context, pending, matches.writer.write(row))
    return statuses.CANCELLED if cancelled.is_set() else statuses.SUCCESS


def charsets(call: Call, requested: str) -> tuple[str, ...]:
    """The character sets to answer in: the peer's own, else the request's where it suffices, else UTF-8."""
    peer = call.caller.peer
    if peer is not None and peer.charset:
        return (peer.charset,)
    return (requested, UTF8) if requested else (UTF8,)


def _failure(error: Exception) -> tuple[int, Mapping[str, Any]]:
    """Status and what else tells of a failure (PS3.4 Table C.4-1); no message holds a value."""
    match error:
        case WrongIdentifier():
            told = {"comment": str(error), "OffendingElement": int(error.tag, 16)}
            return statuses.DATA_SET_DOES_NOT_MATCH, told
        case Forbidden():
            return statuses.NOT_AUTHORIZED, {"comment": str(error)}
        case OutOfResources():
            return statuses.OUT_OF_RESOURCES, {"comment": "out of resources"}
        case BadRequest():
            return statuses.CANNOT_UNDERSTAND, {"comment": str(error)}
    return statuses.UNABLE_TO_PROCESS, {"comment": "unable to process"}
