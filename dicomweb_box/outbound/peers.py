"""DICOM peers: made, changed, removed, and found by their name or AE title."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from dicomweb_box.accounts import audit, granting
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.accounts.granting import COMMAND_LINE, Giver
from dicomweb_box.box import Box
from dicomweb_box.database import UniqueViolation, Writer
from dicomweb_box.errors import Conflict, NotFound
from dicomweb_box.outbound import hosts, steering
from dicomweb_box.outbound.known_peers import Peer, changed, known_peers
from dicomweb_box.outbound.particulars import BadParticular, Particulars, checked
from dicomweb_box.outbound.services import Service, rights_for

_OPTIONS = (
    "syntaxes",
    "charset",
    "pdu_size",
    "connect_timeout",
    "response_timeout",
    "idle_timeout",
    "associations",
    "transfers",
    "proxy",
)
_COLUMNS = (
    "name",
    "folded",
    "kind",
    "ae_title",
    "host",
    "port",
    "tls",
    "certificate",
    "addresses",
    "may",
    "scope",
    "options",
    "changed_at",
)


async def every(box: Box) -> Sequence[Peer]:
    """All peers, by name."""
    return await known_peers(box).every()


async def by_name(box: Box, name: str) -> Peer:
    """The peer of a name, in whatever case; raises NotFound."""
    found = await known_peers(box).by_name(name)
    if found is None:
        raise NotFound("There is no peer of this name.")
    return found


async def by_ae_title(box: Box, title: str) -> Peer | None:
    """The peer of an AE title; None where there is none."""
    return await known_peers(box).by_ae_title(title)


async def add(box: Box, told: Particulars, *, actor: Actor, giver: Giver = COMMAND_LINE) -> Peer:
    """Make a peer; the peer as it is kept.

    Raises BadParticular for what cannot be so, Conflict where the name or AE title is taken, Forbidden where
    it may more than `giver` may give.
    """
    told, loopback = await _allowed(box, told, None, giver)
    row = _row(box, told, loopback=loopback) | {"id": secrets.token_urlsafe(9), "made_by": actor.name}

    async def work(w: Writer) -> None:
        names = ("id", *_COLUMNS, "made_by")
        await w.execute(
            f"insert into peer ({', '.join(names)}, made_at)"
            f" values ({', '.join(f':{name}' for name in names)}, :changed_at)",
            row,
        )
        await w.execute("delete from refused_caller where ae_title = :ae_title", {"ae_title": told.ae_title})
        await changed(w)
        await audit.record(w, box, _told(actor, told, "made"))

    await _written(box, work)
    return await by_name(box, told.name)


async def change(
    box: Box, name: str, told: Particulars, *, actor: Actor, giver: Giver = COMMAND_LINE
) -> Peer:
    """Let a peer be as it is told, its name too; the peer as it is kept. Raises as `add`, and NotFound."""
    before = await by_name(box, name)
    told, loopback = await _allowed(box, told, before, giver)
    row = _row(box, told, loopback=loopback) | {"id": before.id}

    async def work(w: Writer) -> None:
        found = await w.fetch_value(
            f"update peer set {', '.join(f'{one} = :{one}' for one in _COLUMNS)} where id = :id returning id",
            row,
        )
        if found is None:
            raise NotFound("There is no peer of this name.")
        if told.name != before.name:
            await steering.rename_peer(w, before.name, told.name)
        await changed(w)
        await audit.record(w, box, _told(actor, told, _what(before, told)))

    await _written(box, work)
    return await by_name(box, told.name)


async def remove(box: Box, name: str, *, actor: Actor, giver: Giver = COMMAND_LINE) -> None:
    """Know a peer no more: it is refused from now on. Raises NotFound, or Forbidden as `add`."""
    peer = await by_name(box, name)
    granting.check(giver, rights_for(peer.may), peer.scope)

    async def work(w: Writer) -> None:
        gone = await w.fetch_value("delete from peer where id = :id returning id", {"id": peer.id})
        if gone is None:
            raise NotFound("There is no peer of this name.")
        await changed(w)
        await audit.record(w, box, _told(actor, peer, "removed"))

    await _written(box, work)


async def _allowed(
    box: Box, told: Particulars, before: Peer | None, giver: Giver
) -> tuple[Particulars, bool]:
    """The particulars as they are kept, and whether the peer may be on this machine."""
    told = checked(told)
    granting.check(giver, rights_for(told.may), told.scope)
    if before is not None:
        granting.check(giver, rights_for(before.may), before.scope)
    loopback = giver is COMMAND_LINE or (before is not None and before.host == told.host and before.loopback)
    if told.host is not None:
        for address in await hosts.hosts(box).addresses(told.host):
            try:
                hosts.refuse(address, loopback=loopback or loopback_allowed(box))
            except hosts.HostRefused as error:
                raise BadParticular("host", str(error)) from None
    return told, loopback


def loopback_allowed(box: Box) -> bool:
    """Whether any peer may be on this machine itself."""
    return box.settings.no_auth or box.settings.peer_loopback


async def called_address(box: Box, peer: Peer) -> str:
    """The address to call a peer at; raises hosts.HostRefused where there is none that may be called."""
    if peer.host is None:
        raise hosts.HostRefused("This peer only calls: it has no host.")
    return await hosts.called_address(box, peer.host, loopback=peer.loopback or loopback_allowed(box))


async def _written(box: Box, work: Any) -> None:
    try:
        await box.database.write(work)
    except UniqueViolation as error:
        if "ae_title" in str(error):
            raise Conflict("There is a peer of this AE title already.") from None
        raise Conflict("There is a peer of this name already.") from None
    finally:
        known_peers(box).forget()


def _row(box: Box, told: Particulars, *, loopback: bool) -> dict[str, Any]:
    options = {name: getattr(told, name) for name in _OPTIONS} | {"loopback": loopback}
    return {
        "name": told.name,
        "folded": told.name.casefold(),
        "kind": "dimse",
        "ae_title": told.ae_title,
        "host": told.host,
        "port": told.port,
        "tls": int(told.tls),
        "certificate": told.certificate,
        "addresses": json.dumps(told.addresses),
        "may": json.dumps([one for one in Service if one in told.may]),
        "scope": json.dumps(told.scope),
        "options": json.dumps(options),
        "changed_at": box.clock().isoformat(timespec="seconds"),
    }


def particulars_of(peer: Peer) -> Particulars:
    """What was told of a peer, to be told again with changes."""
    return Particulars(**{one.name: getattr(peer, one.name) for one in fields(Particulars)})


def resource(peer: Peer) -> dict[str, Any]:
    """A peer for programs."""
    kept = asdict(peer) | {"may": [str(one) for one in Service if one in peer.may]}
    return {name: kept[name] for name in ("name", "kind", *kept) if name not in ("id", "loopback")}


def _what(before: Particulars, told: Particulars) -> str:
    names = [one.name for one in fields(Particulars) if getattr(before, one.name) != getattr(told, one.name)]
    return f"changed {', '.join(names) or 'nothing'}"


def _told(actor: Actor, told: Particulars, what: str) -> audit.Entry:
    about: dict[str, audit.Value] = {"peer": told.name, "AE title": told.ae_title, "what": what}
    if told.may:
        about["may"] = sorted(told.may)
    return audit.Entry(actor=actor, action=Action.PEER, about=about)
