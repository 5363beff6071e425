"""Static files, under addresses that name their content."""

import functools
import mimetypes
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response

from dicomweb_box.assets import STATIC, static_digest
from dicomweb_box.errors import NotFound

FOREVER = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


async def static(request: Request) -> Response:
    """The file, to be kept for ever; NotFound where the address names another content."""
    path, digest = request.path_params["path"], request.path_params["digest"]
    if path not in _files() or static_digest(path) != digest:
        raise NotFound("no static file has this address")
    media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return Response(_content(path), media_type=media_type, headers=FOREVER)


@functools.cache
def _files() -> frozenset[str]:
    # Only what was there at the start is served: no path from a request ever reaches the file system.
    found = (path.relative_to(STATIC) for path in STATIC.rglob("*") if path.is_file())
    return frozenset(str(PurePosixPath(path)) for path in found)


@functools.cache
def _content(path: str) -> bytes:
    return (STATIC / path).read_bytes()
