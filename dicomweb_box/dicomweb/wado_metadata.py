"""Retrieve metadata of studies, series and instances as DICOM JSON (PS3.18 10.4.1.1.2)."""

import re

import xxhash
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import metadata
from dicomweb_box.archive.body import Piece
from dicomweb_box.archive.metadata import MetadataFile
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.box import Box
from dicomweb_box.dicom.media_types import Offer, choose
from dicomweb_box.dicomweb.retrieval import Asked, asked, remembered

_JSON = "application/dicom+json"
_OFFERS = (Offer(media_type=_JSON),)
_CODING = re.compile(r"\s*(gzip|x-gzip|\*)\s*(?:;\s*q\s*=\s*([0-9.]+)\s*)?", re.IGNORECASE)


async def study(request: Request) -> BlobResponse:
    """GET /studies/{study}/metadata."""
    ask = _asked(request)
    gzip = takes_gzip(request)
    uid = request.path_params["study"]
    found = await metadata.of_study(ask.box, uid, gzip=gzip, scope=ask.scope, actor=ask.actor)
    return _file(ask.box, found, gzip=gzip)


async def series(request: Request) -> BlobResponse:
    """GET /studies/{study}/series/{series}/metadata."""
    ask = _asked(request)
    gzip = takes_gzip(request)
    uids = request.path_params
    found = await metadata.of_series(
        ask.box, uids["study"], uids["series"], gzip=gzip, scope=ask.scope, actor=ask.actor
    )
    return _file(ask.box, found, gzip=gzip)


async def instance(request: Request) -> BlobResponse:
    """GET /studies/{study}/series/{series}/instances/{instance}/metadata."""
    ask = _asked(request)
    uids = request.path_params
    json = await metadata.of_instance(
        ask.box, uids["study"], uids["series"], uids["instance"], scope=ask.scope, actor=ask.actor
    )
    etag = f'"{xxhash.xxh3_128_hexdigest(json)}"'
    return BlobResponse(ask.box, [json], content_type=_JSON, etag=etag)


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


def _asked(request: Request) -> Asked:
    ask = asked(request)
    choose(ask.accepted, _OFFERS)
    return ask


def _file(box: Box, found: MetadataFile, *, gzip: bool) -> BlobResponse:
    return BlobResponse(
        box,
        [Piece(found.file.path, 0, found.file.size)],
        content_type=_JSON,
        etag=found.etag,
        headers=[("Content-Encoding", "gzip")] if gzip else (),
        vary="Accept, Accept-Encoding",
    )


ROUTES: list[BaseRoute] = [
    Route("/studies/{study}/metadata", study),
    Route("/studies/{study}/series/{series}/metadata", series),
    Route("/studies/{study}/series/{series}/instances/{instance}/metadata", remembered(instance)),
]
