"""Retrieve thumbnails of studies, series, instances and frames (PS3.18 10.4.1.1.5)."""

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import posters, render, retrieve
from dicomweb_box.archive.representation import Picture
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.asgi.byte_range import not_modified
from dicomweb_box.dicom import uids
from dicomweb_box.dicom.display import icons, raster
from dicomweb_box.dicom.display.view import View, thumbnail_view_of
from dicomweb_box.dicom.media_types import Offer, choose
from dicomweb_box.dicomweb.gone import unless_gone
from dicomweb_box.dicomweb.retrieval import Asked, Part, asked, remembered, single, tag_of, warning
from dicomweb_box.dicomweb.wado_frames import existing, frame_ranges
from dicomweb_box.errors import BadRequest, Damaged, NotAcceptable, NotFound

_OFFERS = tuple(Offer(media_type=kind) for kind in (raster.JPEG, raster.PNG))


async def several(request: Request) -> BlobResponse:
    """GET …/thumbnail of a study or series: the middle instance of the first series of images."""
    ask, path = asked(request), request.path_params
    found = await retrieve.representative(
        ask.box, path["study"], path.get("series"), scope=ask.scope, actor=ask.actor
    )
    return await _answer(request, ask, found)


async def instance(request: Request) -> BlobResponse:
    """GET …/instances/{instance}/thumbnail: of several frames the one that stands for all, or the middle."""
    ask = asked(request)
    return await _answer(request, ask, await _one(request, ask))


async def frame(request: Request) -> BlobResponse:
    """GET …/instances/{instance}/frames/{frames}/thumbnail."""
    ask = asked(request)
    ranges = frame_ranges(request.path_params["frames"])
    found = await _one(request, ask)
    numbers, _ = existing(ranges, max(1, found.number_of_frames or 1))
    if len(numbers) > 1:
        raise BadRequest("a thumbnail is of one frame")
    return await _answer(request, ask, found, numbers[0])


async def _one(request: Request, ask: Asked) -> Instance:
    path = request.path_params
    return await retrieve.one_with_frames(
        ask.box, path["study"], path["series"], path["instance"], scope=ask.scope, actor=ask.actor
    )


async def _answer(request: Request, ask: Asked, found: Instance, number: int | None = None) -> BlobResponse:
    view, ignored = thumbnail_view_of(request.query_params.multi_items())
    offer = choose(ask.accepted, _OFFERS)
    word = _word(found)
    if word is None and number is None:
        count = max(1, found.number_of_frames or 1)
        number = await render.representative(ask.box, found, count, otherwise=(count + 1) // 2)
    shown = Picture(instance=found, number=number or 1)
    headers = [warning(sentence) for sentence in ignored]
    etag = tag_of(render.name_of(shown, view, offer.media_type), word, headers)
    location = request.scope["path"]
    if not_modified(request.scope["headers"], etag):
        return BlobResponse(ask.box, [], content_type=offer.media_type, etag=etag, status=304)
    body = await unless_gone(request, _picture(ask, shown, word, view, offer.media_type))
    return single(ask.box, Part(offer.media_type, location, [body]), etag, headers=headers)


async def _picture(ask: Asked, shown: Picture, word: str | None, view: View, media_type: str) -> bytes:
    if word is None:
        try:
            return await render.rendered(ask.box, shown, view, media_type, keep=True)
        except (Damaged, NotAcceptable, NotFound):
            # A list of thumbnails is more useful with a gap that shows than with an error.
            word = "VIDEO" if shown.instance.transfer_syntax_uid in uids.VIDEO else "?"
    return await render.icon(ask.box, word, view, media_type)


def _word(found: Instance) -> str | None:
    """What the icon of an instance without pictures says; None where it has pictures."""
    if found.transfer_syntax_uid in uids.VIDEO:
        return None if posters.has_poster(found) else "VIDEO"
    return None if found.rows and found.columns else icons.word_of(found.sop_class_uid)


_INSTANCE = "/studies/{study}/series/{series}/instances/{instance}"

ROUTES: list[BaseRoute] = [
    Route("/studies/{study}/thumbnail", remembered(several)),
    Route("/studies/{study}/series/{series}/thumbnail", remembered(several)),
    Route(f"{_INSTANCE}/thumbnail", remembered(instance)),
    Route(f"{_INSTANCE}/frames/{{frames}}/thumbnail", remembered(frame)),
]
