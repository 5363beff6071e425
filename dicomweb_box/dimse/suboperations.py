"""What C-MOVE and C-GET share: counting sub-operations, and telling of them (PS3.4 C.4.2.1.5, C.4.3.1.4)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from dicomweb_box.archive import retrieve_keys
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.archive.retrieve_keys import Found, Keys
from dicomweb_box.dicom import retrieve_identifier
from dicomweb_box.dicom.retrieve_identifier import Root, WrongIdentifier
from dicomweb_box.dimse import statuses
from dicomweb_box.dimse.call import Call
from dicomweb_box.errors import BadRequest, BoxError
from dicomweb_box.outbound.storing import Result
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.message import Message
from dicomweb_box.upper_layer.responses import response

log = logging.getLogger(__name__)

SUCCESS: Final = 0x0000
PENDING: Final = 0xFF00
FAILURES: Final = 0xB000
"""Some failed, or were stored with a warning."""
NO_MATCHES_KNOWN: Final = 0xA701
NOT_PERFORMED: Final = 0xA702
UNKNOWN_DESTINATION: Final = 0xA801
CANNOT_PROCESS: Final = 0xC001

LONGEST_IDENTIFIER = 4 << 20
"""Bytes; some 60,000 UIDs."""
TELL_EVERY = 2.0
"""Seconds after which a requestor hears again, whether something moved or not: many give up after 30."""
TELL_SOON = 0.25
"""… where something moved."""
_LOGGED = 10
_MOST = 0xFFFF


@dataclass(kw_only=True)
class Progress:
    """How far a retrieval is."""

    total: int
    completed: int = 0
    failed: int = 0
    warning: int = 0
    failed_uids: list[str] = field(default_factory=list)

    def count(self, result: Result) -> None:
        """One sub-operation has ended."""
        if result.verdict == "stored":
            self.completed += 1
        elif result.verdict == "warning":
            self.warning += 1
        else:
            self.failed += 1
            if self.failed <= _MOST:  # more than a response holds
                self.failed_uids.append(result.instance.instance_uid)
            if self.failed <= _LOGGED:
                log.warning("sub-operation for %s failed: %s", result.instance.instance_uid, result.words)

    @property
    def done(self) -> int:
        """How many have ended."""
        return self.completed + self.failed + self.warning

    @property
    def status(self) -> int:
        """What is said at the end."""
        if not self.failed and not self.warning:
            return SUCCESS
        return FAILURES if self.completed or self.warning else NOT_PERFORMED

    def counts(self, *, remaining: bool) -> dict[str, Any]:
        """Elements of a response; Number of Remaining Sub-operations only while there may be some."""
        found = {
            "NumberOfCompletedSuboperations": min(self.completed, _MOST),
            "NumberOfFailedSuboperations": min(self.failed, _MOST),
            "NumberOfWarningSuboperations": min(self.warning, _MOST),
        }
        if remaining:
            found["NumberOfRemainingSuboperations"] = min(max(0, self.total - self.done), _MOST)
        return found


class Refused(Exception):
    """A request that is answered with a failure instead of sub-operations."""

    def __init__(self, status: int, comment: str, **more: Any) -> None:
        super().__init__(comment)
        self.status, self.comment, self.more = status, comment, more


async def wanted(call: Call, message: Message, root: Root) -> Found:
    """The instances that a request names, as far as the caller may see them. Raises Refused, Aborted."""
    identity = call.caller.identity
    try:
        data = await message.whole(LONGEST_IDENTIFIER)
        named = retrieve_identifier.read(data, message.context.transfer_syntax, root)
        keys = Keys(
            level=named.level,
            patient_id=named.patient_id,
            study_uids=named.uids["study"],
            series_uids=named.uids["series"],
            instance_uids=named.uids["instance"],
        )
        return await retrieve_keys.find(call.box, keys, scope=identity.scope, actor=identity.actor)
    except WrongIdentifier as error:
        raise Refused(statuses.DATA_SET_DOES_NOT_MATCH, str(error), OffendingElement=error.tag) from error
    except BadRequest as error:
        raise Refused(statuses.DATA_SET_DOES_NOT_MATCH, str(error)) from error
    except UpperLayerError:
        raise
    except BoxError as error:
        raise Refused(NO_MATCHES_KNOWN, "the matches could not be looked up") from error


@asynccontextmanager
async def telling(call: Call, message: Message, progress: Progress) -> AsyncIterator[None]:
    """Send pending responses while sub-operations go on."""
    over = asyncio.Event()
    task = asyncio.create_task(_tell(call, message, progress, over))
    try:
        yield
    finally:
        # Not cancelled: a message that is not sent to its end aborts the association.
        over.set()
        with suppress(UpperLayerError):
            await task


async def _tell(call: Call, message: Message, progress: Progress, over: asyncio.Event) -> None:
    quiet, told = 0.0, -1
    while not over.is_set():
        if progress.done != told or quiet >= TELL_EVERY:
            quiet, told = 0.0, progress.done
            await _respond(call, message, PENDING, progress)
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), TELL_SOON)
        quiet += TELL_SOON


async def end(call: Call, message: Message, progress: Progress, stop: asyncio.Event) -> None:
    """Send the last response, that of a cancellation where it came in time; raises Aborted."""
    cancelled = stop.is_set() and progress.done < progress.total
    status = statuses.CANCELLED if cancelled else progress.status
    await _respond(call, message, status, progress)


async def refuse(call: Call, message: Message, refused: Refused) -> None:
    """Answer a request that comes to no sub-operation; raises Aborted."""
    call.counts["refused"] += 1
    answer = response(message, refused.status, refused.comment, **refused.more)
    await call.association.send(message.context, answer)


async def _respond(call: Call, message: Message, status: int, progress: Progress) -> None:
    counts = progress.counts(remaining=status in (PENDING, statuses.CANCELLED))
    # C.4.2.1.4.2: in every response but those of success and pending.
    data = None
    if status not in (SUCCESS, PENDING) and progress.failed_uids:
        data = retrieve_identifier.failed_list(progress.failed_uids, message.context.transfer_syntax)
    await call.association.send(message.context, response(message, status, **counts), data)


async def until(stop: asyncio.Event, instances: AsyncIterator[Instance]) -> AsyncIterator[Instance]:
    """The instances, none of which is begun any more once it is told to stop."""
    async for instance in instances:
        if stop.is_set():
            return
        yield instance


def negotiated(asked: bytes) -> bytes:
    """What is answered to extended negotiation: relational-retrieve, if asked for (PS3.4 C.5.2.1, C.5.3.1).

    The other byte there may be is about another form of multi-frame images, which we make none of.
    """
    return bytes([asked[0] & 1, *bytes(len(asked[1:2]))]) if asked else b""
