"""Associations that this box asks peers for."""

import hashlib
from collections.abc import Mapping, Sequence

from dicomweb_box.box import Box
from dicomweb_box.errors import BoxError
from dicomweb_box.outbound import peers
from dicomweb_box.outbound.calling_tls import calling_tls
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import Unreachable
from dicomweb_box.upper_layer.limits import PDU_SIZE, Timeouts
from dicomweb_box.upper_layer.requestor import Proposed, request


async def associate(
    box: Box,
    peer: Peer,
    contexts: Sequence[Proposed],
    extended: Mapping[str, bytes] | None = None,
    *,
    response: float | None = None,
) -> Association:
    """An association with the peer, who accepted at least one of the contexts.

    Raises Unreachable, also where it may not be called where it is, and Rejected.
    """
    try:
        address = await peers.called_address(box, peer)
    except BoxError as error:
        raise Unreachable(str(error)) from error
    association = await request(
        address,
        peer.port or 0,
        calling=box.settings.ae_title,
        called=peer.ae_title,
        contexts=contexts,
        extended=extended,
        tls=await calling_tls(box).context(peer) if peer.tls else None,
        tls_host=peer.host,
        timeouts=_timeouts(peer, response),
        pdu_size=peer.pdu_size or PDU_SIZE,
    )
    await _check_certificate(peer, association)
    return association


def _timeouts(peer: Peer, response: float | None) -> Timeouts:
    return Timeouts(
        connect=peer.connect_timeout,
        associate=peer.connect_timeout,
        response=response or peer.response_timeout,
        idle=response or peer.idle_timeout,
    )


async def _check_certificate(peer: Peer, association: Association) -> None:
    """Abort and raise Unreachable where the peer did not show its certificate."""
    if not peer.tls or peer.certificate is None:
        return
    shown = association.peer_certificate
    if shown is None or hashlib.sha256(shown).hexdigest() != peer.certificate:
        await association.abort()
        raise Unreachable("the peer shows another certificate than its own", at="tls")
