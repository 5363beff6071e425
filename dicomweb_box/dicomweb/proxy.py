"""`/dicom-web/proxy/{peer}`: a DICOM peer read by QIDO-RS and WADO-RS.

A search is asked of the peer. What is retrieved is brought into its cache first, and then given by the
handlers of the archive itself, within the cache's realm.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from dicomweb_box.accounts.access import Scope
from dicomweb_box.archive import proxied
from dicomweb_box.archive.realms import cache_of
from dicomweb_box.asgi.auditing import PEER
from dicomweb_box.asgi.identity import KEY, identity_of
from dicomweb_box.box import Box, in_thread
from dicomweb_box.dicom.attributes import Level
from dicomweb_box.dicom.qido_over_find import question_of
from dicomweb_box.dicomweb import qido, wado
from dicomweb_box.dicomweb.answers import chosen, service_url
from dicomweb_box.dicomweb.routes import Services
from dicomweb_box.dicomweb.search_forms import FORMS, represented
from dicomweb_box.errors import Forbidden, NotFound
from dicomweb_box.outbound import peers, proxy, proxy_search
from dicomweb_box.outbound.known_peers import Peer

Handler = Callable[[Request], Awaitable[Any]]

_UNSUPPORTED = "The peer does not support one of the keys: more matches than was asked for."
_CUT = "The peer was asked for the first of the studies or series alone; narrow the search for the others."


async def _entered(request: Request) -> Peer:
    """The peer that is asked; from here on the request is about its cache.

    Raises Forbidden for who has only a part of the archive: what a peer holds has neither labels nor sources
    by which to tell whose it is.
    """
    identity = identity_of(request)
    if not identity.scope.whole or not identity.scope.identities:
        raise Forbidden("Peers are read as proxies by those who see the whole archive.")
    peer = await peers.by_name(request.app.state.box, request.path_params["peer"])
    if not peer.proxy:
        raise NotFound("This peer is not offered as a proxy.")
    request.scope[KEY] = replace(identity, scope=Scope(realm=cache_of(peer.id)))
    request.scope[PEER] = peer.name
    # Written as an address: names of peers hold spaces.
    request.scope["root_path"] = f"{request.scope['root_path'].rpartition('/')[0]}/{quote(peer.name)}"
    return peer


# Retrieve


async def _fetched(request: Request, peer: Peer) -> None:
    """Have here what the path names."""
    box, uids = request.app.state.box, request.path_params
    study, series, instance = uids["study"], uids.get("series"), uids.get("instance")
    if instance is not None:
        await proxy.instance(box, peer, study, series, instance)
    elif request.scope["route"].path.endswith("/thumbnail"):
        await proxy.picture(box, peer, study, series)
    elif series is not None:
        await proxy.series(box, peer, study, series)
    else:
        await proxy.study(box, peer, study)


def _read_through(handler: Handler) -> Handler:
    async def answer(request: Request) -> "_Reading":
        peer = await _entered(request)
        await _fetched(request, peer)
        response = await handler(request)
        box = request.app.state.box
        return _Reading(response, box, cache_of(peer.id), request.path_params["study"])

    return answer


class _Reading:
    """An answer during which its study stays in the cache."""

    def __init__(self, response: ASGIApp, box: Box, realm: str, study_uid: str) -> None:
        self.response, self.box, self.realm, self.study_uid = response, box, realm, study_uid

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Send it, saying every minute that the study is in use."""
        saying = asyncio.create_task(self._say())
        try:
            await self.response(scope, receive, send)
        finally:
            saying.cancel()
            with suppress(asyncio.CancelledError):
                await saying

    async def _say(self) -> None:
        while True:
            await asyncio.sleep(proxied.TOLD_EVERY)
            await proxied.used(self.box, self.realm, self.study_uid)


# Search


def _searching(level: Level) -> Handler:
    async def answer(request: Request) -> Response:
        offer = chosen(request, FORMS)
        peer = await _entered(request)
        box: Box = request.app.state.box
        uids = cast(dict[str, str], request.path_params)
        named = {name: uid for name, uid in uids.items() if name != "peer"}
        question, warnings = question_of(level, request.query_params.multi_items(), named)
        most = box.settings.query_limit
        limit = most if question.limit is None else min(question.limit, most)
        page = await proxy_search.search(box, peer, question, limit=limit, base=service_url(request))
        form = await in_thread(box, represented, [orjson.dumps(row) for row in page.rows], offer)
        headers = {"Cache-Control": "no-store", "Vary": "Accept", "Content-Type": form.content_type}
        if form.attachment:
            headers["Content-Disposition"] = f'attachment; filename="{level}.{form.attachment}"'
        response = Response(form.body, headers=headers)
        qido.warn(response, (*_said(page, question.limit, limit), *warnings))
        return response

    return answer


def _said(page: proxy_search.Page, asked: int | None, limit: int) -> tuple[str, ...]:
    more = (
        qido.MORE if asked == limit else f"There are more than {limit} results; offset gives the others."
    )  # PS3.18 8.3.4.4.1
    told = {more: page.more, _CUT: page.cut, _UNSUPPORTED: page.unsupported}
    return tuple(sentence for sentence, true in told.items() if true)


SEARCHES: dict[str, Level] = {
    "/studies": "study",
    "/series": "series",
    "/instances": "instance",
    "/studies/{study}/series": "series",
    "/studies/{study}/instances": "instance",
    "/studies/{study}/series/{series}/instances": "instance",
}
ROUTES: list[BaseRoute] = [
    *(Route(path, _searching(level)) for path, level in SEARCHES.items()),
    *(Route(one.path, _read_through(one.endpoint)) for one in wado.ROUTES if isinstance(one, Route)),
]


def mounted() -> BaseRoute:
    """What `app` mounts below /dicom-web."""
    return Mount("/proxy/{peer}", routes=[Services(ROUTES)])
