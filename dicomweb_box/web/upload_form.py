"""The form that sends files without scripts: a multipart/form-data body (RFC 7578), streamed to disk."""

import re
from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dicomweb_box.archive import upload_chunks, uploads
from dicomweb_box.archive.importing import is_skipped
from dicomweb_box.archive.uploads import Announced, File
from dicomweb_box.asgi.identity import identify
from dicomweb_box.box import Box
from dicomweb_box.dicom.media_types import parse_media_type
from dicomweb_box.dicom.multipart import Event, Parser, PartBegin, PartEnd
from dicomweb_box.errors import BadRequest
from dicomweb_box.web.twins import done
from dicomweb_box.web.upload_files import resource_of

# Browsers write the name between quotes, as it is but for %22, %0D and %0A (HTML, multipart/form-data).
_FILENAME = re.compile(r'filename="((?:\\"|[^"])*)"')
_ESCAPES = {"%22": '"', "%0D": "", "%0A": ""}


async def take(request: Request) -> Response:
    """Store each file of the form, one after another; the session's page, or its files for programs."""
    header = request.headers.get("content-type", "")
    content_type = parse_media_type(header) if header else None
    if content_type is None or content_type.name != "multipart/form-data":
        raise HTTPException(415, "Files are sent as multipart/form-data, or in chunks.")
    if "boundary" not in content_type.parameters:
        raise BadRequest("The Content-Type header names no boundary.")
    session_id = str(request.path_params["session"])
    actor, scope = identify(request)
    box: Box = request.app.state.box
    await uploads.session(box, session_id, scope=scope, actor=actor)
    files: list[File] = []
    events = _events(request, content_type.parameters["boundary"])
    async for event in events:
        name = _name(event) if isinstance(event, PartBegin) else ""
        if not name:
            continue
        if is_skipped(tuple(name.split("/"))):
            announced = [Announced(path=name, size=0)]
            files += await uploads.announce(box, session_id, announced, scope=scope, actor=actor)
            continue
        data = _Data(events)
        files.append(await upload_chunks.take(box, session_id, name, data.pieces(), scope=scope, actor=actor))
    resource = {"files": [resource_of(file) for file in files]}
    return done(request, f"/upload/{session_id}", resource=resource)


async def _events(request: Request, boundary: str) -> AsyncIterator[Event]:
    parser = Parser(boundary)
    async for chunk in request.stream():
        for event in parser.feed(chunk):
            yield event
    for event in parser.close():
        yield event


class _Data:
    """The data of the part that has just begun."""

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self._events = events

    async def pieces(self) -> AsyncIterator[bytes]:
        """Each piece, to the part's end."""
        async for event in self._events:
            if isinstance(event, PartEnd):
                return
            if isinstance(event, memoryview):
                yield bytes(event)


def _name(part: PartBegin) -> str:
    """The file's name; "" for a field without a file, and where none was chosen."""
    found = _FILENAME.search(part.headers.get("content-disposition", ""))
    if found is None:
        return ""
    # Header fields are read as Latin-1; browsers write the encoding of the page, UTF-8.
    name = found[1].encode("latin-1", "replace").decode("utf-8", "replace").replace('\\"', '"')
    for escape, character in _ESCAPES.items():
        name = name.replace(escape, character).replace(escape.lower(), character)
    return name.replace("\0", "")[: uploads.MOST_PATH]
