"""Fetches what is missing of a study from a DICOM peer: by C-GET, or by C-MOVE to ourselves."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial

from dicomweb_box.archive.outcomes import Outcome, Refused, Stored
from dicomweb_box.box import Box
from dicomweb_box.dicom import remote_query
from dicomweb_box.outbound import arrivals, dimse_scu
from dicomweb_box.outbound.bringing_here import calling, here, taking
from dicomweb_box.outbound.dimse_scu import GET, MOVE, context_of
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.remote_studies import Remote, Request
from dicomweb_box.outbound.retrieval_contexts import storage_contexts
from dicomweb_box.outbound.transfers import Item
from dicomweb_box.outbound.worker import Desk
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.commands import Command
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.message import Context, Message

log = logging.getLogger(__name__)

_LOOK_EVERY = 2.0


@dataclass(kw_only=True, slots=True)
class Fetch:
    """One study on its way here."""

    box: Box
    desk: Desk
    peer: Peer
    item: Item
    remote: Remote
    refused: list[Refused] = field(default_factory=list)
    here: int = 0
    promised: int = 0
    """So many the peer said that it has sent."""
    heard: float = 0.0

    def more(self, count: int = 0) -> None:
        """Something was heard of it."""
        self.heard = asyncio.get_running_loop().time()
        self.here += count
        self.desk.progress(self.item.number, done=self.here, expected=len(self.remote.uids))


async def by_get(fetch: Fetch, wanted: Sequence[Request]) -> int | None:
    """The status of C-GET; None where the peer does not serve it."""
    contexts = storage_contexts(fetch.remote.classes, fetch.peer.syntaxes)
    async with calling(fetch, GET, contexts) as association:
        context = None if association is None else context_of(association, GET)
        if association is None or context is None:
            return None
        if not any(one.as_scp for one in association.contexts.values()):
            return None
        return await _get(fetch, association, context, wanted)


async def by_move(fetch: Fetch, wanted: Sequence[Request]) -> int | None:
    """The status of C-MOVE to ourselves; None where the peer does not serve it."""
    before = fetch.here
    async with calling(fetch, MOVE, look=partial(_look, fetch)) as association:
        context = None if association is None else context_of(association, MOVE)
        if association is None or context is None:
            return None
        status = await _move(fetch, association, context, wanted)
    await _arrived(fetch, before)
    return status


async def _arrived(fetch: Fetch, before: int) -> None:
    """Wait until what the peer has sent is here: it comes over other associations, of some peers later.

    No longer than the peer's time to answer, from when something came last.
    """
    fetch.more()
    while not fetch.desk.stopped.is_set():
        await _look(fetch)
        if fetch.here >= min(before + fetch.promised, len(fetch.remote.uids)):
            return
        if asyncio.get_running_loop().time() - fetch.heard > fetch.peer.response_timeout:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(fetch.desk.stopped.wait(), _LOOK_EVERY)


async def _look(fetch: Fetch) -> None:
    """Hear of what is here now."""
    found = len(await here(fetch.box, fetch.remote.uids))
    if found != fetch.here:
        fetch.more(found - fetch.here)


async def _get(fetch: Fetch, association: Association, context: Context, wanted: Sequence[Request]) -> int:
    """C-GET (PS3.4 C.4.3): the instances come over the same association."""
    async with taking(association, partial(_take, fetch, association), fetch.peer.name):
        return await _ask_all(fetch, association, context, commands.C_GET_RQ, wanted)


async def _take(fetch: Fetch, association: Association, message: Message) -> Outcome:
    """Store what came."""
    transfer = fetch.desk.batch.transfer
    outcome = await arrivals.arrived(
        fetch.box,
        association,
        message,
        source=f"dimse:{fetch.peer.ae_title}",
        actor=transfer.asked_by,
        scope=transfer.seen,
        sent_by=fetch.peer.ae_title,
    )
    if isinstance(outcome, Refused):
        fetch.refused.append(outcome)
    fetch.more(int(isinstance(outcome, Stored) and not outcome.already))
    return outcome


async def _move(fetch: Fetch, association: Association, context: Context, wanted: Sequence[Request]) -> int:
    """C-MOVE to ourselves (PS3.4 C.4.2): the instances come to our own storage SCP, wherever it runs."""
    return await _ask_all(
        fetch,
        association,
        context,
        commands.C_MOVE_RQ,
        wanted,
        MoveDestination=fetch.box.settings.ae_title,
    )


async def _ask_all(
    fetch: Fetch,
    association: Association,
    context: Context,
    field: int,
    wanted: Sequence[Request],
    **more: str,
) -> int:
    worst = dimse_scu.SUCCESS
    for number, one in enumerate(wanted, 1):
        if fetch.desk.stopped.is_set():
            break
        command = {
            "CommandField": field,
            "AffectedSOPClassUID": context.abstract_syntax,
            "MessageID": number % 0x8000,
            "Priority": 0,
            **more,
        }
        data = remote_query.unique_keys(one.level, one.uids, transfer_syntax=context.transfer_syntax)
        status = await _asked(fetch, association, context, command, data)
        worst = status if worst == dimse_scu.SUCCESS else worst
    return worst


async def _asked(
    fetch: Fetch, association: Association, context: Context, command: Mapping[str, object], data: bytes
) -> int:
    status = dimse_scu.SUCCESS
    number = int(str(command["MessageID"]))
    cancelling = asyncio.create_task(_cancel(fetch, association, context, number))
    try:
        async with aclosing(association.ask(context, command, data)) as answers:
            async for message in answers:
                status = message.command.get("Status", 0)
                fetch.more()
        fetch.promised += _promised(fetch, message.command)
    finally:
        cancelling.cancel()
        with suppress(asyncio.CancelledError):
            await cancelling
    return int(status)


def _promised(fetch: Fetch, answer: Command) -> int:
    """How many a final response says were sent: all where it is a success, whatever it counts."""
    if answer.get("Status") == dimse_scu.SUCCESS:
        return len(fetch.remote.uids)
    # PS3.7 9.3.4.2
    return sum(answer.get(f"NumberOf{which}Suboperations", 0) for which in ("Completed", "Warning"))


async def _cancel(fetch: Fetch, association: Association, context: Context, message_id: int) -> None:
    await fetch.desk.stopped.wait()
    with suppress(UpperLayerError):
        await association.cancel(context, message_id)
