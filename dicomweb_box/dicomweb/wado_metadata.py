"""Retrieve metadata of studies, series and instances as DICOM JSON or XML (PS3.18 10.4.1.1.2)."""

import re

import xxhash
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import metadata
from dicomweb_box.archive.body import Piece
from dicomweb_box.archive.metadata import XML, Form, MetadataFile
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.box import Box, in_thread
from dicomweb_box.dicom import json_model
from dicomweb_box.dicom.media_types import Offer, choose
from dicomweb_box.dicom.xml_model import to_xml
from dicomweb_box.dicomweb.retrieval import Part, asked, multipart, path_of, remembered, single, tag_of

_JSON = "application/dicom+json"
_OFFERS = (Offer(media_type=_JSON), Offer(media_type=XML, multipart=True))
# One data set can be one document; several are always parts (PS3.18 8.7.3.1).
_OFFERS_OF_ONE = (*_OFFERS, Offer(media_type=XML))
_CODING = re.compile(r"\s*(gzip|x-gzip|\*)\s*(?:;\s*q\s*=\s*([0-9.]+)\s*)?", re.IGNORECASE)


async def study(request: Request) -> BlobResponse:
    """GET /studies/{study}/metadata."""
    ask = asked(request)
    form, gzip = _form(choose(ask.accepted, _OFFERS)), takes_gzip(request)
    uid = request.path_params["study"]
    found = await metadata.of_study(ask.box, uid, form=form, gzip=gzip, scope=ask.scope, actor=ask.actor)
    return _file(ask.box, found, form, gzip=gzip)


async def series(request: Request) -> BlobResponse:
    """GET /studies/{study}/series/{series}/metadata."""
    ask = asked(request)
    form, gzip = _form(choose(ask.accepted, _OFFERS)), takes_gzip(request)
    uids = request.path_params
    found = await metadata.of_series(
        ask.box, uids["study"], uids["series"], form=form, gzip=gzip, scope=ask.scope, actor=ask.actor
    )
    return _file(ask.box, found, form, gzip=gzip)


async def instance(request: Request) -> BlobResponse:
    """GET /studies/{study}/series/{series}/instances/{instance}/metadata."""
    ask = asked(request)
    offer = choose(ask.accepted, _OFFERS_OF_ONE)
    uids = request.path_params
    json = await metadata.of_instance(
        ask.box, uids["study"], uids["series"], uids["instance"], scope=ask.scope, actor=ask.actor
    )
    etag = tag_of(xxhash.xxh3_128_digest(json), str(offer))
    if offer.media_type == _JSON:
        return BlobResponse(ask.box, [json], content_type=_JSON, etag=etag)
    document = await in_thread(ask.box, lambda: to_xml(json_model.whole(json[1:-1])))
    names = ("studies", uids["study"], "series", uids["series"], "instances", uids["instance"], "metadata")
    part = Part(XML, path_of(request, *names), [document])
    return multipart(ask.box, [part], XML, etag) if offer.multipart else single(ask.box, part, etag)


def _form(offer: Offer) -> Form:
    return "xml" if offer.media_type == XML else "json"


def takes_gzip(request: Request) -> bool:
    """Whether Accept-Encoding takes gzip (RFC 9110 12.5.3)."""
    quality: dict[str, float] = {}
    for name, value in request.scope["headers"]:
        if name == b"accept-encoding":
            for one in value.decode("latin-1").split(","):
                if match := _CODING.fullmatch(one):
                    quality[match[1].lower().removeprefix("x-")] = _number(match[2])
    return quality.get("gzip", quality.get("*", 0.0)) > 0


def _number(text: str | None) -> float:
    try:
        return 1.0 if text is None else float(text)
    except ValueError:
        return 0.0


def _file(box: Box, found: MetadataFile, form: Form, *, gzip: bool) -> BlobResponse:
    content_type = _JSON
    if form == "xml":
        content_type = f'multipart/related; type="{XML}"; boundary={found.boundary}'
    return BlobResponse(
        box,
        [Piece(found.file.path, 0, found.file.size)],
        content_type=content_type,
        etag=found.etag,
        headers=[("Content-Encoding", "gzip")] if gzip else (),
        vary="Accept, Accept-Encoding",
    )


ROUTES: list[BaseRoute] = [
    Route("/studies/{study}/metadata", study),
    Route("/studies/{study}/series/{series}/metadata", series),
    Route("/studies/{study}/series/{series}/instances/{instance}/metadata", remembered(instance)),
]
