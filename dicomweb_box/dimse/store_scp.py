"""C-STORE as SCP (PS3.4 B): a data set comes in, and is answered for once it is durable."""

import logging

from dicomweb_box.archive import proxied
from dicomweb_box.archive.ingest import MOST_MEMORY
from dicomweb_box.archive.outcomes import Outcome, Refused, Stored
from dicomweb_box.archive.realms import is_lasting
from dicomweb_box.box import Box
from dicomweb_box.dimse import statuses
from dicomweb_box.dimse.call import Call
from dicomweb_box.outbound.arrivals import arrived
from dicomweb_box.upper_layer.message import Message
from dicomweb_box.upper_layer.responses import response

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
    await call.association.send(message.context, response(message, status, comment))


async def _outcome(call: Call, message: Message) -> Outcome:
    receiving = call.box.resource(_Receiving, _Receiving)
    receiving.count += 1
    try:
        outcome = await arrived(
            call.box,
            call.association,
            message,
            source=call.caller.source,
            actor=call.caller.identity.actor,
            scope=call.caller.identity.scope,
            sent_by=call.association.calling_ae_title,
            realm=call.caller.realm,
            most_memory=receiving.most_memory,
        )
    finally:
        receiving.count -= 1
    if isinstance(outcome, Stored) and not is_lasting(call.caller.realm):
        await proxied.used(call.box, call.caller.realm, outcome.study_uid)
    return outcome
