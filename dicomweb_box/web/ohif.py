"""The OHIF viewer at /ohif/, where its files are installed: its own page, policy and settings."""

import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from dicomweb_box.archive.body import Piece
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.asgi.byte_range import not_modified
from dicomweb_box.assets import STATIC
from dicomweb_box.box import Box, in_thread
from dicomweb_box.errors import NotFound
from dicomweb_box.web import ohif_files

MANIFEST = "manifest.json"
"""What browsers ask for without their cookies; it has an address of its own, which is open to everybody."""
NOT_INSTALLED = "The OHIF viewer is not installed here; `dicomweb-box ohif install` does it."

# Segmentations are put together by functions made out of text (ndarray), in the page itself.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; media-src 'self' blob:; object-src 'self' blob:; "
    "frame-src 'self' blob:; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
# A worker obeys its own script's answer. The codecs' glue (embind) makes functions out of text.
_WORKER_POLICY = "default-src 'none'; script-src 'self' 'unsafe-eval'; connect-src 'self' data: blob:"
_WORKERS = re.compile(
    r"(\d+|[\w-]*worker|compute|interpolation|polySeg)\.bundle\.[0-9a-f]{16}\.js|.*\.worker\.min\.js"
)
_NAMED_FOR_CONTENT = re.compile(r"(.*\.bundle\.)?[0-9a-f]{16}\.\w+")
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class File:
    """One file of the viewer: its sizes as it is and compressed (0 where it is not)."""

    path: Path
    size: int
    compressed: int


@dataclass(frozen=True, slots=True)
class Files:
    """What was found in the folder; only that is served: no path of a request reaches the disk."""

    made: int
    by_name: dict[str, File]


class Viewer:
    """The viewer's files, looked for again when they are installed anew."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.folder = ohif_files.folder(box.settings.data)
        self.files: Files | None = None

    async def found(self) -> Files | None:
        """The files there are; None where the viewer is not installed."""
        self.files = await in_thread(self.box, _look, self.folder, self.files)
        return self.files

    async def close(self) -> None:
        """Nothing is held open."""


def _look(folder: Path, known: Files | None) -> Files | None:
    try:
        made = folder.stat().st_ctime_ns
    except OSError:
        return None
    if known is not None and known.made == made:
        return known
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    files = {
        path.relative_to(folder).as_posix(): File(path, size, sizes.get(path.with_name(path.name + ".gz"), 0))
        for path, size in sizes.items()
        if path.suffix != ".gz"
    }
    return Files(made, files)


async def installed(request: Request) -> bool:
    """Whether pages can link to the viewer."""
    return await _viewer(request).found() is not None


def address(study_uid: str) -> str:
    """Where the viewer shows a study."""
    return f"{ohif_files.AT}viewer?StudyInstanceUIDs={study_uid}"


async def entrance(request: Request) -> Response:
    """The way to the viewer's list of studies: its addresses begin with a slash more."""
    return RedirectResponse(ohif_files.AT, 308)


async def ohif(request: Request) -> Any:
    """A file of the viewer, or its page for an address of its own; NotFound where it is not installed."""
    files = await _viewer(request).found()
    if files is None:
        raise NotFound(NOT_INSTALLED)
    name = request.path_params.get("path", MANIFEST)
    if name == "app-config.js":
        return await in_thread(_box(request), _settings, request)
    file = files.by_name.get(name)
    if file is None and "." not in name.rpartition("/")[2]:
        name = "index.html"  # an address that the viewer's own script resolves
        file = files.by_name.get(name)
    if file is None:
        raise NotFound("the viewer has no such file")
    return _answer(request, name, file, files.made)


def _answer(request: Request, name: str, file: File, made: int) -> BlobResponse:
    headers = list(_headers(name).items())
    compressed = file.compressed > 0 and "gzip" in request.headers.get("accept-encoding", "")
    path, size = (file.path, file.size)
    if compressed:
        path, size = file.path.with_name(file.path.name + ".gz"), file.compressed
        headers.append(("Content-Encoding", "gzip"))
    return BlobResponse(
        _box(request),
        [Piece(path, 0, size)],
        content_type=_content_type(name),
        etag=f'"{made:x}-{size:x}"',
        headers=headers,
        vary="Accept-Encoding",
        cache_control=_FOREVER if _NAMED_FOR_CONTENT.fullmatch(name) else "no-cache",
    )


def _settings(request: Request) -> Response:
    content = (STATIC / "ohif-config.js").read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {**_headers("app-config.js"), "Cache-Control": "no-cache", "ETag": etag}
    if not_modified(request.scope["headers"], etag):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="text/javascript", headers=headers)


def _headers(name: str) -> dict[str, str]:
    worker = _WORKERS.fullmatch(name.rpartition("/")[2])
    headers = {"Content-Security-Policy": _WORKER_POLICY if worker else _POLICY}
    if name.endswith(".html"):
        headers |= {"Cross-Origin-Opener-Policy": "same-origin", "X-Frame-Options": "SAMEORIGIN"}
    return headers


def _content_type(name: str) -> str:
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed


def _viewer(request: Request) -> Viewer:
    return _box(request).resource(Viewer, Viewer)


def _box(request: Request) -> Box:
    box: Box = request.app.state.box
    return box
