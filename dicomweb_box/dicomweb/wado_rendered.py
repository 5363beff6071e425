"""Retrieve rendered frames and instances (PS3.18 10.4.1.1.3)."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import render, retrieve
from dicomweb_box.archive.body import Body
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.asgi.byte_range import not_modified
from dicomweb_box.dicom import raster
from dicomweb_box.dicom.media_types import Offer, choose
from dicomweb_box.dicom.view import View, view_of
from dicomweb_box.dicomweb.retrieval import Asked, Part, asked, path_of, remembered, single, tag_of, warning

_OFFERS = tuple(Offer(media_type=kind) for kind in raster.MEDIA_TYPES)


async def instance(request: Request) -> BlobResponse:
    """GET …/instances/{instance}/rendered."""
    ask = asked(request)
    view, ignored = view_of(request.query_params.multi_items())
    uids = request.path_params
    found = await retrieve.one(
        ask.box, uids["study"], uids["series"], uids["instance"], scope=ask.scope, actor=ask.actor
    )
    offer = choose(ask.accepted, _OFFERS)
    return await _single(request, ask, found, 1, view, offer, ignored)


async def _single(
    request: Request,
    ask: Asked,
    found: Instance,
    number: int,
    view: View,
    offer: Offer,
    ignored: Sequence[str],
) -> BlobResponse:
    etag = tag_of(render.name_of(found, number, view, offer.media_type), ignored)
    headers = [warning(sentence) for sentence in ignored]
    body: list[Body] = []
    status = 304 if not_modified(request.scope["headers"], etag) else 200
    if status == 200:
        body = [await render.rendered(ask.box, found, number, view, offer.media_type)]
    location = path_of(
        request,
        *("studies", found.study_uid, "series", found.series_uid),
        *("instances", found.instance_uid, "rendered"),
    )
    return single(ask.box, Part(offer.content_type, location, body), etag, status=status, headers=headers)


ROUTES: list[BaseRoute] = [
    Route("/studies/{study}/series/{series}/instances/{instance}/rendered", remembered(instance)),
]
