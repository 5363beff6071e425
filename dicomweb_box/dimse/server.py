"""The DIMSE door: who may have an association, in which contexts, and who answers what comes over it."""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from functools import partial
from socket import socket

from dicomweb_box.accounts.audit_reads import reads
from dicomweb_box.box import Box
from dicomweb_box.dimse import negotiation, statuses
from dicomweb_box.dimse.call import Call
from dicomweb_box.dimse.rights_table import ACTION
from dicomweb_box.dimse.services import EXTENDED, SERVICES, Offer, offers
from dicomweb_box.outbound import admission
from dicomweb_box.outbound.admission import Caller, Refusal
from dicomweb_box.settings import Settings
from dicomweb_box.upper_layer import acceptor, commands
from dicomweb_box.upper_layer.agreement import (
    NO_TRANSFER_SYNTAX,
    Acceptance,
    AssociationRequest,
    Proposed,
    Rejection,
)
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.limits import Limits, Timeouts
from dicomweb_box.upper_layer.message import Message
from dicomweb_box.upper_layer.responses import response

log = logging.getLogger(__name__)

ASK_AGAIN = 5.0
"""Seconds after which it is looked up anew what the caller of an association may."""


async def serve(
    box: Box,
    listeners: Sequence[tuple[socket, ssl.SSLContext | None]],
    stop: asyncio.Event,
    *,
    when_accepting: Callable[[], object],
) -> None:
    """Serve associations on the listeners until told to stop; each then finishes the operation that it is at.

    What is not finished within the drain timeout is aborted. Raises OSError where a listener breaks.
    """
    limits = _limits(box.settings)
    serving = [
        asyncio.create_task(
            acceptor.serve(listener, partial(admit, box), partial(talk, box), limits, tls, leaving=stop)
        )
        for listener, tls in listeners
    ]
    when_accepting()
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([stopping, *serving], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            await asyncio.wait(serving, timeout=box.settings.drain_timeout)
    finally:
        for task in (stopping, *serving):
            task.cancel()
        await asyncio.wait([stopping, *serving])
    for task in serving:
        if not task.cancelled():
            task.result()


def _limits(settings: Settings) -> Limits:
    return Limits(
        associations=settings.dimse_associations,
        associations_of_address=settings.dimse_client_associations,
        pdu_size=settings.dimse_pdu_size,
        timeouts=Timeouts(
            associate=settings.dimse_request_timeout,
            network=settings.dimse_message_timeout,
            idle=settings.dimse_idle_timeout,
        ),
    )


async def admit(box: Box, request: AssociationRequest) -> Acceptance | Rejection:
    """What is accepted of an association request, or why nothing is."""
    caller = await _caller(box, request)
    if isinstance(caller, Refusal):
        return _refusal(request, caller)
    peer = caller.peer
    uncompressed = peer is not None and peer.syntaxes == "uncompressed"
    contexts = {
        one.id: _accepted(request, one, uncompressed_only=uncompressed)
        for one in request.proposed
        if offers(one.abstract_syntax)
    }
    extended = {uid: EXTENDED[uid](asked) for uid, asked in request.extended.items() if uid in EXTENDED}
    held = admission.place(box, caller)
    if isinstance(held, Refusal):
        return _refusal(request, held)
    return Acceptance(
        contexts=contexts,
        extended=extended,
        # PS3.7 D.3.3.4: whoever gets instances by C-GET is SCP of their storage.
        roles={uid: roles for uid, roles in request.roles.items() if offers(uid)},
        pdu_size=peer.pdu_size if peer is not None else 0,
        idle=peer.idle_timeout if peer is not None else None,
        let_go=held,
    )


def _refusal(request: AssociationRequest, found: Refusal) -> Rejection:
    log.warning("refused an association from %s: %s", request.peer_address, found.why)
    return Rejection(result=found.result, source=found.source, reason=found.reason)


def _accepted(request: AssociationRequest, proposed: Proposed, *, uncompressed_only: bool) -> str | int:
    uid, syntaxes = proposed.abstract_syntax, proposed.transfer_syntaxes
    if uid in SERVICES:
        found = negotiation.identifier_syntax(syntaxes)
    elif request.roles.get(uid, (True, False))[1]:
        found = negotiation.retrieval_syntax(uid, syntaxes, uncompressed_only=uncompressed_only)
    else:
        found = negotiation.storage_syntax(syntaxes, uncompressed_only=uncompressed_only)
    return NO_TRANSFER_SYNTAX if found is None else found


async def _caller(box: Box, asked: AssociationRequest | Association) -> Caller | Refusal:
    return await admission.caller(
        box,
        called=asked.called_ae_title,
        calling=asked.calling_ae_title,
        address=asked.peer_address,
        certificate=asked.peer_certificate,
    )


async def talk(box: Box, association: Association) -> None:
    """Serve one association until it ends."""
    caller = await _caller(box, association)
    if isinstance(caller, Refusal):  # in the moment since it was let in
        await association.abort()
        return
    call = Call(box=box, association=association, caller=caller)
    began = time.monotonic()
    try:
        how = await _serve(call)
    except UpperLayerError as error:
        how = str(error)
        await association.abort()
    done = ", ".join(f"{count} {what}" for what, count in sorted(call.counts.items()))
    seconds = time.monotonic() - began
    log.info("an association of %s: %s in %.1f s; %s", caller.source, done or "nothing done", seconds, how)


async def _serve(call: Call) -> str:
    """How the association ended."""
    asked = time.monotonic()
    while (message := await call.association.receive()) is not None:
        if time.monotonic() - asked > ASK_AGAIN:
            asked = time.monotonic()
            caller = await _caller(call.box, call.association)
            if isinstance(caller, Refusal):
                await call.association.abort()
                return "it is let in no more"
            call = Call(box=call.box, association=call.association, caller=caller, counts=call.counts)
        await _answer(call, message)
    return "released"


async def _answer(call: Call, message: Message) -> None:
    offer = offers(message.context.abstract_syntax).get(message.command["CommandField"])
    if offer is None or not (message.context.as_scp or offer.of_scp):
        await _refuse(call, message, _unknown(message), "this is not served in its presentation context")
    elif not _may(call.caller, offer):
        _note(call, offer)
        await _refuse(call, message, statuses.NOT_AUTHORIZED, "the caller may not ask for this")
    else:
        await _handle(call, message, offer)


def _may(caller: Caller, offer: Offer) -> bool:
    return caller.may(offer.service) or (offer.or_else is not None and caller.may(offer.or_else))


def _unknown(message: Message) -> int:
    # PS3.7 C.5.13 and C.5.6
    storing = message.command["CommandField"] == commands.C_STORE_RQ
    return statuses.SOP_CLASS_NOT_SUPPORTED if storing else statuses.UNRECOGNIZED_OPERATION


def _note(call: Call, offer: Offer) -> None:
    action = ACTION[offer.service]
    log.warning("%s may not ask for %s", call.caller.source, offer.service)
    if action is not None:
        reads(call.box).note(call.caller.identity.actor, action, "refused")


async def _handle(call: Call, message: Message, offer: Offer) -> None:
    try:
        await offer.handler(call, message)
    except UpperLayerError:
        raise
    except Exception as error:  # noqa: BLE001  (whatever it was, the peer is told so and may go on)
        log.error("%s for %s failed: %s", offer.service, call.caller.source, type(error).__name__)  # noqa: TRY400
        await _refuse(call, message, statuses.PROCESSING_FAILURE, "the archive failed at this")


async def _refuse(call: Call, message: Message, status: int, comment: str) -> None:
    call.counts["refused"] += 1
    await call.association.send(message.context, response(message, status, comment))
