"""Who calls over DIMSE, and whether they are let in: by AE titles, address and certificate."""

import hashlib
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from dicomweb_box.accounts.access import ANYBODY, EVERYTHING, Actor, Identity, Scope
from dicomweb_box.accounts.addresses import plain_address
from dicomweb_box.accounts.audit_reads import reads
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.accounts.rights import Right
from dicomweb_box.archive.realms import MAIN, cache_of
from dicomweb_box.box import Box
from dicomweb_box.dicom.ae_title import ae_title_of, shown_ae_title
from dicomweb_box.outbound.hosts import hosts
from dicomweb_box.outbound.known_peers import Peer, known_peers
from dicomweb_box.outbound.places import places
from dicomweb_box.outbound.refused_callers import refused_callers
from dicomweb_box.outbound.services import EVERY_SERVICE, RIGHTS, Service, rights_for


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Whoever was let in."""

    identity: Identity
    peer: Peer | None
    """What is known of it; None: nothing."""
    source: str
    """What is kept of where its instances came from."""
    services: frozenset[Service]
    """What it may ask for."""
    realm: str = MAIN
    """Where what it stores goes: the archive, or as a proxy its own cache."""

    def may(self, service: Service) -> bool:
        """Whether it may ask for a service."""
        return service in self.services and RIGHTS[service] <= self.identity.rights


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Whoever was not let in: fields of A-ASSOCIATE-RJ (PS3.8 9.3.4), and why, for this side alone."""

    result: int
    source: int
    reason: int
    why: str


_PERMANENT, _TRANSIENT = 1, 2
_SERVICE_USER, _PRESENTATION = 1, 3
_CALLING, _CALLED, _LOCAL_LIMIT = 3, 7, 2
_LOCAL = {"echo": frozenset({Service.ECHO}), "store": frozenset({Service.ECHO, Service.STORE})}


async def caller(
    box: Box, *, called: str, calling: str, address: str, certificate: bytes | None
) -> Caller | Refusal:
    """Who asks for an association, or why it is not let in; a refusal is noted for the page of peers.

    `certificate` is the one that was shown in the handshake, as DER; it was proved there.
    """
    title, called = ae_title_of(calling), called.strip(" ")
    to_cache = called == box.settings.proxy_ae_title != box.settings.ae_title
    if not box.settings.dimse_any_called and not to_cache and called != box.settings.ae_title:
        why = "It called this box by another AE title."
        return _refused(box, calling, address, why, reason=_CALLED)
    if title is None:
        return _refused(box, calling, address, "Its AE title cannot be one.")
    peer = await known_peers(box).by_ae_title(title)
    if to_cache:
        return await _proxy(box, peer, title, address, certificate)
    if box.settings.no_auth:
        return _let_in(peer, ANYBODY.at(address), title, EVERY_SERVICE)
    if peer is None:
        return _unknown(box, title, address)
    if why := await _doubt(box, peer, address, certificate):
        return _refused(box, calling, address, why)
    return _let_in(peer, peer.identity.at(address), title, peer.may)


def place(box: Box, found: Caller) -> Callable[[], None] | Refusal:
    """Hold the place of whoever was let in; what lets go of it, or why there is none."""
    if found.peer is None or box.settings.no_auth:
        return _nothing
    # PS3.8 Table 9-21: it may try again.
    return places(box).take(found.peer) or Refusal(
        result=_TRANSIENT,
        source=_PRESENTATION,
        reason=_LOCAL_LIMIT,
        why="It has as many associations as it may.",
    )


def _nothing() -> None:
    """There is nothing to let go of."""


def _unknown(box: Box, title: str, address: str) -> Caller | Refusal:
    """A caller that is no peer, as the setting has it."""
    services = _LOCAL.get(box.settings.dimse_unknown)
    if services is None:
        return _refused(box, title, address, "There is no peer of this AE title.")
    # Its name is what it says and nothing proves: no peer's, which has no colon.
    actor = Actor(name=f"dimse:{title}", kind="anonymous")
    identity = Identity(actor=actor, scope=EVERYTHING, rights=rights_for(services))
    return _let_in(None, identity.at(address), title, services)


async def _doubt(box: Box, peer: Peer, address: str, certificate: bytes | None) -> str:
    """Why a caller is not believed to be this peer; empty: it is."""
    if peer.certificate is not None and _digest(certificate) != peer.certificate:
        return (
            "It showed another certificate than the peer's." if certificate else "It showed no certificate."
        )
    return "" if await _calls_from(box, peer, address) else "It is not where the peer calls from."


async def _proxy(
    box: Box, peer: Peer | None, title: str, address: str, certificate: bytes | None
) -> Caller | Refusal:
    """A peer that sends what is read of it: into its cache alone, whatever else it may."""
    if peer is None or not peer.proxy:
        why = "Only peers that are offered as proxies store under this AE title."
        return _refused(box, title, address, why, reason=_CALLED)
    if not box.settings.no_auth and (why := await _doubt(box, peer, address, certificate)):
        return _refused(box, title, address, why)
    realm = cache_of(peer.id)
    actor = Actor(name=peer.name, kind="peer")
    identity = Identity(actor=actor, scope=Scope(realm=realm), rights=frozenset({Right.STORE}))
    return Caller(
        identity=identity.at(address),
        peer=peer,
        source=f"dimse:{title}",
        services=_LOCAL["store"],
        realm=realm,
    )


def _let_in(peer: Peer | None, identity: Identity, title: str, services: frozenset[Service]) -> Caller:
    return Caller(identity=identity, peer=peer, source=f"dimse:{title}", services=services)


def _refused(box: Box, calling: str, address: str, why: str, *, reason: int = _CALLING) -> Refusal:
    refused_callers(box).note(shown_ae_title(calling), address, why)
    # Without the title, which is whatever somebody sent: the audit would grow with each.
    reads(box).note(Actor(name="", kind="anonymous", address=address), Action.LOG_IN, "refused")
    return Refusal(result=_PERMANENT, source=_SERVICE_USER, reason=reason, why=why)


def _digest(certificate: bytes | None) -> str | None:
    return hashlib.sha256(certificate).hexdigest() if certificate is not None else None


async def _calls_from(box: Box, peer: Peer, address: str) -> bool:
    try:
        found = plain_address(address)
    except ValueError:
        return False
    if peer.addresses:
        return any(found in ipaddress.ip_network(one) for one in peer.addresses)
    return peer.host is not None and found in await hosts(box).addresses(peer.host)
