"""WADO-URI: one instance by one address, as DICOM or as a picture, text, document or video (PS3.18 9)."""

from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import render, retrieve
from dicomweb_box.archive.body import Body
from dicomweb_box.archive.representation import MakeWhole, Picture, Representations
from dicomweb_box.archive.representations import representations
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.asgi.byte_range import not_modified
from dicomweb_box.dicom.display import raster
from dicomweb_box.dicom.display.view import View
from dicomweb_box.dicom.media_types import Accepted, Offer, choose, parse_accept
from dicomweb_box.dicomweb import wado_instances, wado_uri_parameters
from dicomweb_box.dicomweb.gone import unless_gone
from dicomweb_box.dicomweb.retrieval import Asked, asked, tag_of, warning
from dicomweb_box.errors import BadRequest, Damaged, NotAcceptable, NotFound

_DICOM = Offer(media_type="application/dicom")
_UTF_8 = frozenset({"utf-8", "utf8", "iso-ir-192", "us-ascii", "*"})


async def wado(request: Request) -> BlobResponse:
    """GET /wado?requestType=WADO&studyUID=…&seriesUID=…&objectUID=…."""
    wanted = wado_uri_parameters.parse(request.query_params.multi_items())
    ask = asked(request)
    found = await retrieve.one_with_frames(
        ask.box, wanted.study_uid, wanted.series_uid, wanted.instance_uid, scope=ask.scope, actor=ask.actor
    )
    shown = await representations(ask.box, found, scope=ask.scope, actor=ask.actor)
    offer = _chosen(ask.accepted, wanted.content_type, _offers(shown))
    if offer == _DICOM:
        return await _dicom(request, ask, found, wanted)
    if offer.media_type in shown.whole_types and wanted.frame is None:
        return await _whole(request, ask, found, shown, wanted, offer.media_type)
    return await _picture(request, ask, found, shown, wanted, offer.media_type)


def _offers(shown: Representations) -> list[Offer]:
    """What can be given, best first: a person's browser asks for anything, and means to see it."""
    pictures = raster.MEDIA_TYPES if shown.count else ()
    kinds = dict.fromkeys((*pictures, *shown.whole_types))
    return [*(Offer(media_type=kind) for kind in kinds), _DICOM]


def _chosen(accepted: Sequence[Accepted], content_type: str | None, offers: Sequence[Offer]) -> Offer:
    """The form to give: contentType beats Accept, and its order is one of preference (PS3.18 9.1.2.2.1)."""
    if content_type is None:
        return choose([replace(one, transfer_syntax=None) for one in accepted], offers)
    ranges = parse_accept((), content_type)
    if "q=" not in content_type.replace(" ", ""):
        for one in ranges:
            try:
                return choose([one], offers)
            except NotAcceptable:
                continue
    return choose(ranges, offers)


async def _dicom(
    request: Request, ask: Asked, found: Instance, wanted: wado_uri_parameters.Asked
) -> BlobResponse:
    """PS3.18 9.4: Explicit VR Little Endian unless another transfer syntax is asked for."""
    accepted = Accepted(
        media_type=_DICOM.media_type, multipart=False, transfer_syntax=wanted.transfer_syntax, quality=1.0
    )
    answer = await wado_instances.alone(request, replace(ask, accepted=(accepted,)), found, _address(found))
    return _warned(answer, wanted, wado_uri_parameters.OF_PICTURES, "is not for DICOM objects")


async def _whole(
    request: Request,
    ask: Asked,
    found: Instance,
    shown: Representations,
    wanted: wado_uri_parameters.Asked,
    media_type: str,
) -> BlobResponse:
    """A text, a document, a video: as it is, since no parameter shapes it."""
    if shown.whole is None:
        raise NotFound("the instance cannot be rendered")
    if media_type.startswith("text/"):
        _refuse_charset(wanted.charset)
        content_type = f"{media_type}; charset=utf-8"
    else:
        content_type = media_type
    view = wanted.view(found.rows or 1, found.columns or 1)
    etag = tag_of(found.version, media_type, view)
    body: list[Body] = []
    if not not_modified(request.scope["headers"], etag):
        body = await unless_gone(request, _made(shown.whole, media_type, view))
    answer = BlobResponse(ask.box, body, content_type=content_type, etag=etag)
    return _warned(answer, wanted, wado_uri_parameters.OF_DICOM, "is for DICOM objects")


async def _made(whole: MakeWhole, media_type: str, view: View) -> list[Body]:
    return await whole(media_type, view)


async def _picture(
    request: Request,
    ask: Asked,
    found: Instance,
    shown: Representations,
    wanted: wado_uri_parameters.Asked,
    media_type: str,
) -> BlobResponse:
    """One frame: the one asked for, else the one that stands for all."""
    picture = await _shown(ask, found, shown, wanted)
    view = wanted.view(found.rows or 1, found.columns or 1)
    etag = tag_of(render.name_of(picture, view, media_type))
    body: list[Body] = []
    if not not_modified(request.scope["headers"], etag):
        body = [await unless_gone(request, _rendered(ask, picture, view, media_type))]
    answer = BlobResponse(ask.box, body, content_type=media_type, etag=etag)
    return _warned(answer, wanted, wado_uri_parameters.OF_DICOM, "is for DICOM objects")


async def _shown(
    ask: Asked, found: Instance, shown: Representations, wanted: wado_uri_parameters.Asked
) -> Picture:
    if shown.picture is None:
        raise NotFound("the instance has no frames")
    number = wanted.frame if shown.count > 1 else 1  # of other than multi-frames it is ignored: 9.5.1.2.1
    if number is None:
        number = await render.representative(ask.box, found, shown.count, otherwise=1)
    if number > shown.count:
        raise NotFound(f"the instance has {shown.count} frames, not {number}")
    if wanted.state is not None:
        return await _as_stated(ask, found, number, *wanted.state)
    return shown.picture(number)


async def _as_stated(ask: Asked, found: Instance, number: int, series_uid: str, instance_uid: str) -> Picture:
    """The frame as a presentation state of its study shows it (PS3.18 9.5.1.2.7)."""
    state = await retrieve.one(
        ask.box, found.study_uid, series_uid, instance_uid, scope=ask.scope, actor=ask.actor
    )
    shown = await representations(ask.box, state, scope=ask.scope, actor=ask.actor)
    pictures = map(shown.picture, range(1, shown.count + 1)) if shown.picture is not None else ()
    for picture in pictures:
        if picture.state is not None and (picture.instance.id, picture.number) == (found.id, number):
            return picture
    raise BadRequest("presentationUID names no presentation state that refers to this frame")


async def _rendered(ask: Asked, picture: Picture, view: View, media_type: str) -> bytes:
    try:
        return await render.rendered(ask.box, picture, view, media_type)
    except Damaged as error:
        raise NotAcceptable(f"the frame cannot be shown: {error}", (str(_DICOM),)) from error


def _refuse_charset(charset: str | None) -> None:
    """PS3.18 9.1.2.2.2: texts are UTF-8, which holds every character set that DICOM has."""
    named = {one.partition(";")[0].strip().lower() for one in (charset or "*").split(",")}
    if not named & _UTF_8:
        raise NotAcceptable("texts are given in UTF-8 alone", ("utf-8",))


def _warned(
    answer: BlobResponse, wanted: wado_uri_parameters.Asked, idle: Sequence[str], why: str
) -> BlobResponse:
    """The answer, with a word for each parameter that had no effect."""
    for name in idle:
        if name in wanted.given:
            header, sentence = warning(f"The parameter {name} {why} and was ignored.")
            answer.headers.append((header.lower().encode(), sentence.encode()))
    return answer


def _address(found: Instance) -> str:
    return f"/dicom-web/studies/{found.study_uid}/series/{found.series_uid}/instances/{found.instance_uid}"


ROUTES: list[BaseRoute] = [Route("/wado", wado)]
