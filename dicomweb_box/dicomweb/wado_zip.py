"""Studies, series and instances as ZIP archives of files (PS3.18 Supplement 211)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from starlette.requests import Request

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import retrieve
from dicomweb_box.archive.body import Body, Later, settle_first
from dicomweb_box.archive.directory_body import File, directory
from dicomweb_box.archive.explicit_body import stored_body
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.archive.zip_body import ZipWriter, name_of
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.box import Box
from dicomweb_box.dicom.dicomdir import FILE_NAME
from dicomweb_box.dicom.media_types import Accepted, Offer, choose
from dicomweb_box.dicomweb.retrieval import Asked, flag, tag_of, warning
from dicomweb_box.errors import Damaged, NotAcceptable, UnreadableInstance

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
    uids = request.path_params
    if request.method != "HEAD":
        about = {name: str(uids[name]) for name in uids if name in ("series", "instance")}
        entry = audit.Entry(
            actor=ask.actor, action=Action.EXPORT, study=uids["study"], about=about, count=len(given)
        )
        await audit.recorded(ask.box, entry)
    deflate, dicomdir = flag(request, "deflate"), flag(request, "dicomdir")
    etag = tag_of(
        ZIP, deflate, dicomdir, missing, [(one.instance.version, one.transfer_syntax) for one in given]
    )
    writer = ZipWriter(ask.box, deflate=deflate)
    if dicomdir:
        body = _file_set(ask, writer, given, etag)
    else:
        numbers = await retrieve.series_numbers(ask.box, uids["study"], scope=ask.scope)
        body = [writer.member(name_of(one.instance, numbers), partial(_body, ask.box, one)) for one in given]
    name = uids.get("instance") or uids.get("series") or uids["study"]
    headers = [("Content-Disposition", f'attachment; filename="{name}.zip"')]
    if missing:
        # PS3.18 10.4.3.1: some of the content cannot be given.
        text = f"{missing} of {missing + len(given)} instances are left out: not acceptable or not readable"
        headers.append(warning(text))
    status = 206 if missing else 200
    body.append(writer.end())
    return BlobResponse(ask.box, body, content_type=ZIP, etag=etag, status=status, headers=headers)


def _file_set(ask: Asked, writer: ZipWriter, given: Sequence[Given], etag: str) -> list[Body]:
    """The files under names of eight capitals and digits, and behind them the DICOMDIR (PS3.10 8.2, 8.6)."""
    files: list[File] = []
    body: list[Body] = []
    series: dict[str, int] = {}
    for number, one in enumerate(given, 1):
        instance = one.instance
        folder = f"SE{series.setdefault(instance.series_uid, len(series) + 1):06d}"
        file_id = ("DICOM", folder, f"IM{number:06d}")
        body.append(writer.member("/".join(file_id), partial(_filed, ask.box, one, file_id, files)))

    async def directory_of_files() -> list[Body]:
        return [await directory(ask.box, files, etag)]

    return [*body, writer.member(FILE_NAME, directory_of_files)]


async def _filed(box: Box, one: Given, file_id: tuple[str, ...], files: list[File]) -> list[Body]:
    """The file's body; it is noted with the transfer syntax that it really has."""
    body, syntax = await _found(box, one)
    files.append(File(one.instance, syntax, file_id))
    return body


async def _body(box: Box, one: Given) -> list[Body]:
    return (await _found(box, one))[0]


async def _found(box: Box, one: Given) -> tuple[list[Body], str]:
    """The instance's body, and the transfer syntax that it has."""
    body: list[Body] = []
    try:
        for piece in one.body:
            body += await piece.make() if isinstance(piece, Later) else [piece]
        return await settle_first(body), one.transfer_syntax
    except (Damaged, UnreadableInstance):
        # A file names its own transfer syntax: better as it was stored than an archive that breaks off.
        return await stored_body(box, one.instance), one.instance.given_syntax
