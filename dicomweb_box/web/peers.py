"""Peers, for who says which there are: the list with who was refused, a new one, and one with its form."""

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts import granting
from dicomweb_box.asgi.identity import identity_of
from dicomweb_box.errors import BadRequest, Conflict, Forbidden
from dicomweb_box.outbound import echo as calling_back
from dicomweb_box.outbound import peers, refused_callers
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.particulars import SYNTAXES
from dicomweb_box.outbound.services import MEANING, RIGHTS
from dicomweb_box.web import peer_form
from dicomweb_box.web.forms import posted
from dicomweb_box.web.page import page
from dicomweb_box.web.twins import as_json, done, for_programs

_REFUSALS = (BadRequest, Conflict, Forbidden)


async def index(request: Request) -> Response:
    """Every peer, and who called and is none."""
    _require_whole(request)
    box = request.app.state.box
    found, refused = await peers.every(box), await refused_callers.every(box)
    if for_programs(request):
        return as_json({"peers": [peers.resource(one) for one in found], "refused": refused})
    return page(
        request,
        "peers/index.html",
        peers=found,
        refused=refused,
        known={one.ae_title: one.name for one in found},
        ae_title=box.settings.ae_title,
    )


async def blank(request: Request) -> Response:
    """The form of a new one; of a caller that was refused, where the query names it."""
    _require_whole(request)
    return _form(request, None, peer_form.blank(request.query_params))


async def create(request: Request) -> Response:
    """Make the posted peer."""
    _require_whole(request)
    fields, identity, box = await posted(request), identity_of(request), request.app.state.box
    try:
        peer = await peers.add(
            box,
            peer_form.told(fields),
            actor=identity.actor,
            giver=granting.as_administrator(identity),
        )
    except _REFUSALS as error:
        if for_programs(request):
            raise
        return _form(request, None, peer_form.typed(fields), error)
    return done(request, _address(peer), resource=peers.resource(peer), status=201)


async def show(request: Request) -> Response:
    """One peer, how it is talked to and what it may."""
    peer = await _one(request)
    if for_programs(request):
        return as_json(peers.resource(peer))
    return _form(request, peer, peer_form.shown(peer))


async def change(request: Request) -> Response:
    """Let a peer be as it is posted; what is left out stays."""
    peer, fields, identity = await _one(request), await posted(request), identity_of(request)
    try:
        changed = await peers.change(
            request.app.state.box,
            peer.name,
            peer_form.told(fields, peers.particulars_of(peer)),
            actor=identity.actor,
            giver=granting.as_administrator(identity),
        )
    except _REFUSALS as error:
        if for_programs(request):
            raise
        return _form(request, peer, peer_form.typed(fields), error)
    return done(request, _address(changed), resource=peers.resource(changed))


async def echo(request: Request) -> Response:
    """Call a peer, and say what of it works."""
    peer = await _one(request)
    found = await calling_back.echo(request.app.state.box, peer)
    if for_programs(request):
        return as_json(found)
    return _form(request, peer, peer_form.shown(peer), echoed=found)


async def confirm(request: Request) -> Response:
    """Whether to remove a peer."""
    return page(request, "peers/remove.html", peer=await _one(request))


async def remove(request: Request) -> Response:
    """Know a peer no more."""
    peer, identity = await _one(request), identity_of(request)
    giver = granting.as_administrator(identity)
    await peers.remove(request.app.state.box, peer.name, actor=identity.actor, giver=giver)
    return done(request, "/peers")


async def _one(request: Request) -> Peer:
    _require_whole(request)
    return await peers.by_name(request.app.state.box, request.path_params["name"])


def _require_whole(request: Request) -> None:
    if not identity_of(request).scope.whole:
        raise Forbidden("Peers concern the whole archive: they are for those who see all of it.")


def _address(peer: Peer) -> str:
    return f"/peers/{quote(peer.name)}"


def _form(
    request: Request,
    peer: Peer | None,
    values: dict[str, Any],
    error: Exception | None = None,
    *,
    echoed: calling_back.Echo | None = None,
) -> Response:
    giver = granting.as_administrator(identity_of(request))
    return page(
        request,
        "peers/show.html" if peer else "peers/new.html",
        fragment="echo" if echoed else None,
        peer=peer,
        echoed=echoed,
        values=values,
        # What is there stays to be taken away; what may not be given is not offered.
        services={
            one: text for one, text in MEANING.items() if RIGHTS[one] <= giver.rights or one in values["may"]
        },
        syntaxes=SYNTAXES,
        charsets=peer_form.CHARSETS,
        messages={} if error is None else peer_form.messages(error),
        status=200 if error is None else 422,
    )


ROUTES: list[BaseRoute] = [
    Route("/peers", index, methods=["GET"], name="peers"),
    Route("/peers.json", index, methods=["GET"]),
    Route("/peers", create, methods=["POST"]),
    Route("/peers/new", blank, methods=["GET"], name="peer_new"),
    Route("/peers/{name}.json", show, methods=["GET"]),
    Route("/peers/{name}", show, methods=["GET"], name="peer"),
    Route("/peers/{name}", change, methods=["POST"]),
    Route("/peers/{name}", remove, methods=["DELETE"]),
    Route("/peers/{name}/echo", echo, methods=["POST"]),
    Route("/peers/{name}/remove", confirm, methods=["GET"], name="peer_remove"),
    Route("/peers/{name}/remove", remove, methods=["POST"]),
]
