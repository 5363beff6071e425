"""Studies, series and instances as ZIP archives of files (PS3.18 Supplement 211)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from starlette.requests import Request

from dicomweb_box.archive import retrieve
from dicomweb_box.archive.body import Body, Later
from dicomweb_box.archive.explicit_body import stored_body
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.archive.zip_body import Find, ZipWriter
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.dicom.media_types import Accepted, Offer, choose
from dicomweb_box.dicomweb.retrieval import Asked, tag_of, warning
from dicomweb_box.errors import BadRequest, Damaged, NotAcceptable, UnreadableInstance

ZIP = "application/zip"
_OFFERS = (Offer(media_type="application/dicom"), Offer(media_type="application/dicom", multipart=True))


@dataclass(frozen=True, slots=True)
class Given:
    """One instance of an answer, in which transfer syntax, and its body."""

    instance: Instance
    transfer_syntax: str
    body: Sequence[Body]


def wanted(accepted: Sequence[Accepted], *, alone: bool) -> bool:
    """Whether the client would rather have an archive than DICOM objects."""
    offers = (*_OFFERS[0 if alone else 1 :], Offer(media_type=ZIP))
    try:
        return choose(accepted, offers).media_type == ZIP
    except NotAcceptable:
        return False


def of_members(ask: Asked) -> Asked:
    """The same ask for the members; what can only be given as stored is given so (PS3.18 8.7.3.5.2)."""
    zips = [one for one in ask.accepted if one.media_type in (ZIP, "application/*", "*/*")]
    members = [replace(one, media_type="application/dicom", multipart=True) for one in zips]
    members += [replace(one, media_type="*/*", multipart=True, quality=one.quality / 1000) for one in zips]
    return replace(ask, accepted=tuple(members))


async def answer(request: Request, ask: Asked, given: Sequence[Given], missing: int) -> BlobResponse:
    """The archive, its file named by the UID of what was asked for; `missing`: how many are left out."""
    uids, deflate = request.path_params, flag(request, "deflate")
    numbers = await retrieve.series_numbers(ask.box, uids["study"], scope=ask.scope)
    writer = ZipWriter(ask.box, deflate=deflate)
    body = [writer.member(name, find) for name, find in _members(given, numbers)]
    body.append(writer.end())
    name = uids.get("instance") or uids.get("series") or uids["study"]
    headers = [("Content-Disposition", f'attachment; filename="{name}.zip"')]
    if missing:
        # PS3.18 10.4.3.1: some of the content cannot be given.
        text = f"{missing} of {missing + len(given)} instances are left out: not acceptable or not readable"
        headers.append(warning(text))
    etag = tag_of(ZIP, deflate, missing, [(one.instance.sha256, one.transfer_syntax) for one in given])
    status = 206 if missing else 200
    return BlobResponse(ask.box, body, content_type=ZIP, etag=etag, status=status, headers=headers)


def flag(request: Request, name: str) -> bool:
    """Whether a query parameter says true; raises BadRequest where it says neither true nor false."""
    value = request.query_params.get(name, "false").lower()
    if value not in ("true", "false"):
        raise BadRequest(f"The parameter {name} is either true or false.")
    return value == "true"


def _members(given: Sequence[Given], numbers: dict[str, int | None]) -> Iterator[tuple[str, Find]]:
    """Names say study, series and instance by UID and number: no attribute of a patient is in them."""
    for one in given:
        instance = one.instance
        number = numbers.get(instance.series_uid)
        series = instance.series_uid if number is None else f"{number}-{instance.series_uid}"
        yield f"{instance.study_uid}/{series}/{instance.instance_uid}.dcm", partial(_found, one)


async def _found(one: Given) -> list[Body]:
    body: list[Body] = []
    try:
        for piece in one.body:
            body += await piece.make() if isinstance(piece, Later) else [piece]
    except (Damaged, UnreadableInstance):
        # A file names its own transfer syntax: better as it was stored than an archive that breaks off.
        return stored_body(one.instance)
    return body
