"""All bulk data, or all pixel data, of a study, series or instance (PS3.18 10.4.1.1.5, 10.4.1.1.6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import xxhash
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import retrieve
from dicomweb_box.archive.body import Body, Later
from dicomweb_box.archive.bulk_body import PIXEL_DATA, bulk, bulk_body
from dicomweb_box.archive.bulk_paths import bulk_paths
from dicomweb_box.archive.explicit_body import without_bytes
from dicomweb_box.archive.frame_body import stored_frame
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.dicom import encapsulated
from dicomweb_box.dicom.image import NATIVE
from dicomweb_box.dicom.media_types import Offer, choose
from dicomweb_box.dicom.multipart import closing, part_head
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE
from dicomweb_box.dicomweb import wado_bulk, wado_frames
from dicomweb_box.dicomweb.frame_types import OCTETS, frame_offers
from dicomweb_box.dicomweb.retrieval import Asked, Part, asked, tag_of, warning
from dicomweb_box.errors import Damaged, NotAcceptable, NotFound

_PIXELS = (PIXEL_DATA, "7FE00008", "7FE00009")  # integer, float and double float cells
_PLAIN = Offer(media_type=OCTETS, multipart=True, transfer_syntax=EXPLICIT_LITTLE)


async def bulkdata(request: Request) -> BlobResponse:
    """GET /studies/{study}/bulkdata, and below a series or an instance."""
    return await _collection(request, only=None)


async def pixeldata(request: Request) -> BlobResponse:
    """GET /studies/{study}/pixeldata, and below a series."""
    return await _collection(request, only=_PIXELS)


async def pixeldata_of_one(request: Request) -> BlobResponse:
    """GET …/instances/{instance}/pixeldata: as its bulk data, also in a single part."""
    ask, uids = asked(request), request.path_params
    names = uids["study"], uids["series"], uids["instance"]
    paths = await bulk_paths(ask.box, *names, scope=ask.scope, actor=ask.actor)
    for path in _PIXELS:
        if path in paths.get(uids["instance"], ()):
            found = await retrieve.one(ask.box, *names, scope=ask.scope, actor=ask.actor)
            return await wado_bulk.value(request, ask, found, path)
    raise NotFound("the instance has no pixel data")


@dataclass(frozen=True, slots=True)
class _Values:
    """What is given of one instance: paths, each in a representation."""

    instance: Instance
    values: Sequence[tuple[str, Offer]]


async def _collection(request: Request, *, only: Sequence[str] | None) -> BlobResponse:
    ask, uids = asked(request), request.path_params
    names = uids["study"], uids.get("series"), uids.get("instance")
    paths = await bulk_paths(ask.box, *names, scope=ask.scope, actor=ask.actor)
    wanted = {uid: [one for one in found if only is None or one in only] for uid, found in paths.items()}
    total = sum(map(len, wanted.values()))
    if not total:
        raise NotFound("there is no bulk data" if only is None else "there is no pixel data")
    found = await retrieve.instances(ask.box, *names, scope=ask.scope, actor=ask.actor)
    given = await _given(ask, [one for one in found if wanted.get(one.instance_uid)], wanted)
    left_out = total - sum(len(one.values) for one in given)
    facts = [(one.instance.sha256, [(path, str(offer)) for path, offer in one.values]) for one in given]
    etag = tag_of("collection", left_out, facts)
    boundary = xxhash.xxh3_128_hexdigest(b"boundary " + etag.encode())
    body: list[Body] = [
        Later(partial(_parts, request, ask, one, boundary, first=number == 0))
        for number, one in enumerate(given)
    ]
    kind = given[0].values[0][1].media_type
    return BlobResponse(
        ask.box,
        [*body, closing(boundary)],
        content_type=f'multipart/related; type="{kind}"; boundary={boundary}',
        etag=etag,
        status=206 if left_out else 200,
        # PS3.18 10.4.3.1: some of the content cannot be given.
        headers=[warning(f"{left_out} of {total} values are left out: not acceptable or not readable")]
        if left_out
        else (),
    )


async def _given(ask: Asked, instances: Sequence[Instance], wanted: dict[str, list[str]]) -> list[_Values]:
    """What can be given of the instances; raises NotAcceptable or Damaged where nothing can."""
    lost = await without_bytes(ask.box, instances)
    given: list[_Values] = []
    refusal: NotAcceptable | None = None
    for instance in instances:
        values: list[tuple[str, Offer]] = []
        for path in wanted[instance.instance_uid] if instance.id not in lost else ():
            try:
                values.append((path, choose(ask.accepted, await _offers(ask, instance, path))))
            except NotAcceptable as error:
                refusal = error
        if values:
            given.append(_Values(instance, values))
    if not given:
        raise refusal or Damaged("the stored bytes are missing")
    return given


async def _offers(ask: Asked, instance: Instance, path: str) -> list[Offer]:
    if _in_frames(instance, path):
        return frame_offers(instance.transfer_syntax_uid, alone=False, anything=ask.anything)
    if path == encapsulated.DOCUMENT:
        media_type = (await bulk(ask.box, instance, path)).media_type
        return [Offer(media_type=media_type, multipart=True), _PLAIN] if media_type else [_PLAIN]
    return [_PLAIN]


async def _parts(request: Request, ask: Asked, one: _Values, boundary: str, *, first: bool) -> list[Body]:
    """The parts of one instance, found out when its turn comes."""
    body: list[Body] = []
    for path, offer in one.values:
        for part in await _of_value(request, ask, one.instance, path, offer):
            begins = first and not body
            head = part_head(boundary, part.content_type, first=begins, content_location=part.location)
            body += [head, *part.body]
    return body


async def _of_value(request: Request, ask: Asked, found: Instance, path: str, offer: Offer) -> list[Part]:
    """A part; of compressed pixel data one for each frame (PS3.18 10.4.3.3), none where it has no frame."""
    if not _in_frames(found, path):
        held = await bulk(ask.box, found, path)
        return [wado_bulk.value_part(request, found, path, offer, await bulk_body(ask.box, found, held))]
    try:
        table = await retrieve.frame_table(ask.box, found)
    except NotFound:
        return []
    if table.kind == "video":
        return [wado_bulk.value_part(request, found, path, offer, await stored_frame(ask.box, found, 1))]
    numbers = range(1, table.count + 1)
    # All there could be: a frame that cannot be decoded is refused with what it can be had as.
    offers = frame_offers(found.transfer_syntax_uid, alone=False, anything=True)
    return await wado_frames.frame_parts(request, ask, found, numbers, offer, offers)


def _in_frames(instance: Instance, path: str) -> bool:
    return path == PIXEL_DATA and instance.transfer_syntax_uid not in NATIVE


ROUTES: list[BaseRoute] = [
    Route("/studies/{study}/bulkdata", bulkdata),
    Route("/studies/{study}/series/{series}/bulkdata", bulkdata),
    Route("/studies/{study}/series/{series}/instances/{instance}/bulkdata", bulkdata),
    Route("/studies/{study}/pixeldata", pixeldata),
    Route("/studies/{study}/series/{series}/pixeldata", pixeldata),
    Route("/studies/{study}/series/{series}/instances/{instance}/pixeldata", pixeldata_of_one),
]
