"""Retrieve bulk data by the URIs that metadata names (PS3.18 10.4.1.1.5)."""

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import retrieve, transcoding
from dicomweb_box.archive.body import Body, total_length
from dicomweb_box.archive.bulk_body import PIXEL_DATA, bulk, bulk_body
from dicomweb_box.archive.frame_body import native_frame, stored_frame
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.asgi.blob_response import BlobResponse, cut
from dicomweb_box.asgi.byte_range import NotSatisfiable, wanted_range
from dicomweb_box.dicom.image import NATIVE
from dicomweb_box.dicom.media_types import Offer, choose, choose_stored
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE
from dicomweb_box.dicomweb import wado_frames
from dicomweb_box.dicomweb.frame_types import OCTETS, asks_for_encoding, encoded_offers, frame_offers
from dicomweb_box.dicomweb.retrieval import Asked, Part, asked, multipart, path_of, single, tag_of

_NATIVE_OFFERS = [
    Offer(media_type=OCTETS, multipart=form, transfer_syntax=EXPLICIT_LITTLE) for form in (False, True)
]


async def bulkdata(request: Request) -> BlobResponse:
    """GET …/instances/{instance}/bulkdata/{path}, below the series or the study."""
    ask = asked(request)
    uids = request.path_params
    found = await retrieve.one(
        ask.box, uids["study"], uids.get("series"), uids["instance"], scope=ask.scope, actor=ask.actor
    )
    return await value(request, ask, found, uids["path"].rstrip("/").upper())


async def value(request: Request, ask: Asked, found: Instance, path: str) -> BlobResponse:
    """The bulk data of an instance at a path, in the representation asked for; raises NotFound."""
    if path == PIXEL_DATA and (
        found.transfer_syntax_uid not in NATIVE or asks_for_encoding(ask.accepted, _NATIVE_OFFERS)
    ):
        return await _by_frames(request, ask, found)
    held = await bulk(ask.box, found, path)
    kinds = [held.media_type] if held.media_type else []
    offers = [Offer(media_type=kind, multipart=form) for kind in kinds for form in (False, True)]
    offers += _NATIVE_OFFERS
    offer = choose(ask.accepted, offers)
    return _answer(
        request,
        ask,
        found,
        offer,
        value_part(request, found, path, offer, await bulk_body(ask.box, found, held)),
    )


def value_part(request: Request, found: Instance, path: str, offer: Offer, body: list[Body]) -> Part:
    """The value at a path as a part; it says where it is, whatever address it was asked for by."""
    names = ("studies", found.study_uid, "series", found.series_uid, "instances", found.instance_uid)
    return Part(offer.content_type, path_of(request, *names, "bulkdata", path), body)


def _answer(request: Request, ask: Asked, found: Instance, offer: Offer, part: Part) -> BlobResponse:
    etag = tag_of(found.sha256, part.location, str(offer))
    if not offer.multipart:
        return single(ask.box, part, etag)
    # A range is one of the value, not of the multipart body (PS3.18 2016b 6.5.5.2.1): so both clients called
    # dicomweb-client ask, and read the answer.
    total = total_length(part.body) or 0
    try:
        bounds = wanted_range(request.scope["headers"], request.method, etag, total)
    except NotSatisfiable:
        return single(ask.box, part, etag)  # which says so
    if bounds is None:
        return multipart(ask.box, [part], offer.media_type, etag)
    start, stop = bounds
    return multipart(
        ask.box,
        [Part(part.content_type, part.location, cut(part.body, start, stop))],
        offer.media_type,
        etag,
        status=206,
        headers=[("Content-Range", f"bytes {start}-{stop - 1}/{total}")],
    )


async def _by_frames(request: Request, ask: Asked, found: Instance) -> BlobResponse:
    """Compressed pixel data: a part for each frame, or all native frames in one; a video is one stream."""
    table = await retrieve.frame_table(ask.box, found)
    numbers = list(range(1, table.count + 1))
    offers = frame_offers(found.transfer_syntax_uid, alone=True, anything=ask.anything)
    if table.count > 1:
        # Frames one after another can be told apart only where all have one length.
        offers = [one for one in offers if one.multipart or one.transfer_syntax == EXPLICIT_LITTLE]
    encoded: list[Offer] = []
    if asks_for_encoding(ask.accepted, offers):
        encoded = encoded_offers(await transcoding.targets(ask.box, found), alone=table.count == 1)
    offer = choose_stored(ask.accepted, offers, encoded)
    if table.kind == "video":
        stream = await stored_frame(ask.box, found, 1)
        return _answer(request, ask, found, offer, value_part(request, found, PIXEL_DATA, offer, stream))
    if offer.multipart or table.count == 1:
        return await wado_frames.answer(request, ask, found, numbers, offer, (*offers, *encoded))
    body: list[Body] = []
    for number in numbers:
        body += await native_frame(ask.box, found, number)
    return _answer(request, ask, found, offer, value_part(request, found, PIXEL_DATA, offer, body))


ROUTES: list[BaseRoute] = [
    Route("/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path:path}", bulkdata),
    Route("/studies/{study}/instances/{instance}/bulkdata/{path:path}", bulkdata),
]
