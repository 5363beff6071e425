"""Files of an upload session for programs, and for `upload.js`: announced, then sent in chunks.

The shape is that of resumable uploads as the IETF drafts them (draft-ietf-httpbis-resumable-upload,
decision 21):
Upload-Offset, Upload-Complete, PATCH; each chunk with its Content-Digest (RFC 9530).
"""

import base64
import binascii
import re
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from dicomweb_box.archive import upload_chunks, uploads
from dicomweb_box.archive.upload_chunks import Chunk
from dicomweb_box.archive.uploads import Announced, File, State
from dicomweb_box.asgi.identity import identify
from dicomweb_box.box import Box
from dicomweb_box.errors import BadRequest, OffsetMismatch, RequestTooLarge
from dicomweb_box.web.twins import as_json

MOST_LISTED = 1000
MOST_BYTES = 8 << 20
"""Of an announcement."""
_MISMATCH = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset"
_DIGEST = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):(?:;.*)?")
_ALGORITHMS = {"sha-256": ("sha256", 32), "sha-512": ("sha512", 64)}
_KNOWN_STATES: tuple[State, ...] = (
    "waiting", "arrived", "stored", "already", "skipped", "refused", "unpacked", "expired",
)  # fmt: skip


async def announce(request: Request) -> Response:
    """What is known of each announced file, in their order: where it goes on, or what became of it."""
    announced = _announced(await _json(request))
    actor, scope = identify(request)
    files = await uploads.announce(
        _box(request), str(request.path_params["session"]), announced, scope=scope, actor=actor
    )
    return as_json({"files": [resource_of(one) for one in files]})


async def listed(request: Request) -> Response:
    """Files of a session, the last that changed first: `state` chooses, `next` leads to the next page."""
    actor, scope = identify(request)
    session = await uploads.session(
        _box(request), str(request.path_params["session"]), scope=scope, actor=actor
    )
    asked = request.query_params.getlist("state")
    states = [state for state in _KNOWN_STATES if state in asked]
    if len(states) < len(set(asked)):
        raise BadRequest(f"state is none of {', '.join(_KNOWN_STATES)}.")
    before = request.query_params.get("before", "")
    files, following = await uploads.files(
        _box(request), session.id, states=states, before=before, limit=MOST_LISTED
    )
    pairs = [*(("state", state) for state in states), ("before", following or "")]
    link = f"/upload/{session.id}/files.json?{urlencode(pairs)}" if following else None
    return as_json({"files": [resource_of(one) for one in files], "next": link})


async def show(request: Request) -> Response:
    """One file; Upload-Offset says where it goes on."""
    return _answer(await _file(request))


async def append(request: Request) -> Response:
    """Take a chunk; 204 while the file goes on, 200 with the file where it was the last one."""
    actor, scope = identify(request)
    file = await _file(request)
    chunk = _chunk(request)
    try:
        file = await upload_chunks.append(
            _box(request), file, chunk, request.stream(), scope=scope, actor=actor
        )
    except OffsetMismatch as error:
        return _mismatch(error)
    if file.state == "waiting":
        return Response(status_code=204, headers=_headers(file))
    return _answer(file)


def resource_of(file: File) -> dict[str, Any]:
    """A file as programs get it."""
    return {
        "id": file.id,
        "address": f"/upload/{file.session_id}/files/{file.id}",
        "path": file.path,
        "size": file.size,
        "state": file.state,
        "message": file.message,
        "received": file.received,
        "chunk": {"offset": file.chunk_offset, "sha256": file.chunk_sha256} if file.chunk_sha256 else None,
        "stored": file.stored,
        "already": file.already,
        "skipped": file.skipped,
        "refused": file.refused,
    }


async def _file(request: Request) -> File:
    actor, scope = identify(request)
    session, file = (str(request.path_params[name]) for name in ("session", "file"))
    return await uploads.file(_box(request), session, file, scope=scope, actor=actor)


def _answer(file: File) -> Response:
    answer = as_json(resource_of(file))
    answer.headers.update(_headers(file))
    return answer


def _headers(file: File) -> dict[str, str]:
    return {
        "Upload-Offset": str(file.received),
        "Upload-Complete": "?0" if file.state == "waiting" else "?1",
        "Upload-Length": str(file.size),
        "Cache-Control": "no-store",
    }


def _mismatch(error: OffsetMismatch) -> Response:
    told = {
        "type": _MISMATCH,
        "title": str(error),
        "error": str(error),
        "expected-offset": error.expected,
        "provided-offset": error.provided,
    }
    headers = {"Upload-Offset": str(error.expected), "Cache-Control": "no-store"}
    return Response(orjson.dumps(told), 409, headers=headers, media_type="application/problem+json")


def _chunk(request: Request) -> Chunk:
    headers = request.headers
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise BadRequest("A chunk must not be compressed.")
    length = headers.get("content-length")
    return Chunk(
        offset=_offset(headers.get("upload-offset")),
        length=int(length) if length is not None else None,
        complete=_truth(headers.get("upload-complete")),
        digests=_digests(headers.getlist("content-digest")),
    )


def _offset(value: str | None) -> int:
    if value is None or not re.fullmatch(r"\d{1,15}", value.strip()):
        raise BadRequest("The header Upload-Offset must say at which byte the chunk begins.")
    return int(value)


def _truth(value: str | None) -> bool | None:
    if value is None:
        return None
    if value.strip() not in ("?0", "?1"):
        raise BadRequest("The header Upload-Complete is neither ?0 nor ?1.")
    return value.strip() == "?1"


def _digests(values: list[str]) -> dict[str, bytes]:
    """Those that can be checked, by our names; raises BadRequest where one is none (RFC 9530 2)."""
    found = {}
    for one in filter(None, (part.strip() for value in values for part in value.split(","))):
        match = _DIGEST.fullmatch(one)
        if match is None:
            raise BadRequest("The header Content-Digest is not like sha-256=:base64:.")
        if match[1] in _ALGORITHMS:
            name, size = _ALGORITHMS[match[1]]
            found[name] = _decoded(match[2], size)
    return found


def _decoded(text: str, size: int) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except binascii.Error:
        value = b""
    if len(value) != size:
        raise BadRequest(f"A digest in Content-Digest is not base64 of {size} bytes.")
    return value


async def _json(request: Request) -> Any:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise RequestTooLarge(f"The announcement is larger than {MOST_BYTES} bytes: split it.")
        parts.append(part)
    try:
        return orjson.loads(b"".join(parts))
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not JSON.") from None


def _announced(given: Any) -> list[Announced]:
    files = given.get("files") if isinstance(given, dict) else None
    if not isinstance(files, list) or not files:
        raise BadRequest(
            'The body is not like {"files": [{"path": "a.dcm", "size": 1024, "modified": "…"}]}.'
        )
    return [_one(number, file) for number, file in enumerate(files, 1)]


def _one(number: int, given: Any) -> Announced:
    path = given.get("path") if isinstance(given, dict) else None
    size = given.get("size") if isinstance(given, dict) else None
    if not isinstance(path, str) or not isinstance(size, int) or isinstance(size, bool):
        raise BadRequest(f"File {number} has no path, or no size that is a whole number.")
    modified = given.get("modified", "")
    if not isinstance(modified, str | int) or len(str(modified)) > 100:
        raise BadRequest(f"The modification of file {number} is neither a short text nor a whole number.")
    return Announced(path=path, size=size, modified=str(modified))


def _box(request: Request) -> Box:
    box: Box = request.app.state.box
    return box
