"""What the retrieve handlers share: what was asked for, and how answers of one or more parts are worded."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash
from starlette.requests import Request

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive.body import Body, Piece
from dicomweb_box.archive.retrieve import Recent
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.asgi.identity import identify
from dicomweb_box.box import Box
from dicomweb_box.dicom.media_types import Accepted, parse_accept
from dicomweb_box.dicom.multipart import closing, part_head
from dicomweb_box.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks this box, and what they take."""

    box: Box
    actor: Actor
    scope: Scope
    accepted: tuple[Accepted, ...]

    @property
    def anything(self) -> bool:
        """Whether some range takes any transfer syntax (PS3.18 8.7.3.5.2)."""
        return takes_anything(self.accepted)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an answer."""

    content_type: str
    location: str
    body: Sequence[Body]


def asked(request: Request) -> Asked:
    """What a request asks of the box."""
    actor, scope = identify(request)
    parameter = request.query_params.get("accept") if request.scope["query_string"] else None
    accepts = [value.decode("latin-1") for name, value in request.scope["headers"] if name == b"accept"]
    return Asked(request.app.state.box, actor, scope, parse_accept(accepts, parameter))


def flag(request: Request, name: str) -> bool:
    """Whether a query parameter says true; raises BadRequest where it says neither true nor false."""
    value = request.query_params.get(name, "false").lower()
    if value not in _TRUE and value not in ("false", "0"):
        raise BadRequest(f"The parameter {name} is either true or false.")
    return value in _TRUE


_TRUE = ("true", "1")
Handler = Callable[[Request], Awaitable[BlobResponse]]
_PARTS_KEPT = 64
_ASKED_BY = frozenset((b"accept", b"accept-encoding"))


class _Answers(Recent):
    """Answers by what was asked, each with the database's moment before it was made."""


def remembered(handler: Handler) -> Handler:
    """The handler, which gives the same answer to the same ask while nothing was committed.

    A viewer asks for the same frames again, and a hundred viewers for the same series: finding out anew what
    is known costs more than sending it. An answer here is ranges of blobs, not bytes.
    """

    async def answer(request: Request) -> BlobResponse:
        box: Box = request.app.state.box
        moment = box.database.moment()
        if moment is None:
            return await handler(request)
        scope, answers = request.scope, box.resource(_Answers, _Answers)
        by = tuple(header for header in scope["headers"] if header[0] in _ASKED_BY)
        key = (handler, identify(request)[1], scope["path"], scope["query_string"], by)
        found: tuple[int, BlobResponse] | None = answers.get(key)
        if found is not None and found[0] == moment:
            return found[1]
        response = await handler(request)
        if response.status_code != 304 and (weight := _weight(response.body)) is not None:
            answers.put(key, (moment, response), weight)
        return response

    return answer


def _weight(body: Sequence[Body]) -> int | None:
    """What keeping a body costs, in pages of 4 KiB; None for what is large, made each time, or in a cache."""
    if len(body) > _PARTS_KEPT:
        return None
    held = 0
    for one in body:
        if isinstance(one, bytes):
            held += len(one)
        elif not isinstance(one, Piece) or isinstance(one.source, Path):
            return None
    return 1 + held // 4096


def takes_anything(accepted: tuple[Accepted, ...]) -> bool:
    """Whether some range takes any transfer syntax."""
    return any(one.transfer_syntax == "*" for one in accepted)


def path_of(request: Request, *more: str) -> str:
    """The absolute path of a resource of this service; never with a host, which only the client knows."""
    return "/".join((request.scope.get("root_path", ""), *more))


def warning(text: str) -> tuple[str, str]:
    """A Warning header (PS3.18 8.4.3)."""
    return "Warning", f'299 dicomweb_box: "{text}"'


def tag_of(*facts: object) -> str:
    """A strong validator of a representation that these facts decide."""
    return f'"{xxhash.xxh3_128_hexdigest(repr(facts).encode())}"'


def single(
    box: Box, part: Part, etag: str, *, status: int = 200, headers: Iterable[tuple[str, str]] = ()
) -> BlobResponse:
    """An answer that is the one part itself."""
    headers = [("Content-Location", part.location), *headers]
    return BlobResponse(
        box, part.body, content_type=part.content_type, etag=etag, status=status, headers=headers
    )


def multipart(
    box: Box,
    parts: Sequence[Part],
    media_type: str,
    etag: str,
    *,
    status: int = 200,
    headers: Iterable[tuple[str, str]] = (),
) -> BlobResponse:
    """A multipart/related answer (PS3.18 8.6.1.2.1); equal asks give equal bytes, so that ranges fit."""
    boundary = xxhash.xxh3_128_hexdigest(b"boundary " + etag.encode())
    body: list[Body] = []
    for number, part in enumerate(parts):
        body.append(part_head(boundary, part.content_type, first=number == 0, content_location=part.location))
        body += part.body
    body.append(closing(boundary))
    content_type = f'multipart/related; type="{media_type}"; boundary={boundary}'
    return BlobResponse(box, body, content_type=content_type, etag=etag, status=status, headers=headers)
