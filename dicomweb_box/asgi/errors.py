"""The error tree in HTTP's words: a status, a sentence, never a traceback, never a patient attribute."""

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicomweb_box.errors import (
    BadRequest,
    BoxError,
    Conflict,
    Damaged,
    Forbidden,
    Gone,
    NotAcceptable,
    NotFound,
    OutOfResources,
    PeerRefused,
    PeerUnreachable,
    RequestStalled,
    RequestTooLarge,
    TooMany,
    Unauthenticated,
    UnreadableInstance,
)

log = logging.getLogger(__name__)

RETRY_AFTER = "30"
_BEARER = 'Bearer realm="dicomweb_box"'
CHALLENGE = f'Basic realm="dicomweb_box", charset="UTF-8", {_BEARER}'
"""RFC 7617, RFC 6750."""
_MOST_FRAMES = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What went wrong, as HTTP says it."""

    status: int
    sentence: str
    headers: Mapping[str, str] = field(default_factory=dict)
    offered: tuple[str, ...] = ()


ErrorPage = Callable[[Request, Fault], Response]
"""Words a fault as a page for people."""


def fault_of(error: BaseException, *, method: str = "GET") -> Fault:
    """The fault that an error is to a client; one nobody foresaw is 500 with a plain sentence."""
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return fault_of(error.exceptions[0], method=method)
    match error:
        case HTTPException():
            return Fault(
                status=error.status_code, sentence=_sentence(error), headers=dict(error.headers or {})
            )
        case NotAcceptable():
            return Fault(status=406, sentence=str(error), offered=error.offered)
        case OutOfResources() if method in ("POST", "PUT", "PATCH"):
            return Fault(status=507, sentence=str(error))
        case OutOfResources():
            return Fault(status=503, sentence=str(error), headers={"Retry-After": RETRY_AFTER})
        case RequestStalled():
            return Fault(status=408, sentence=str(error), headers={"Connection": "close"})
        case Unauthenticated():
            return Fault(status=401, sentence=str(error), headers={"WWW-Authenticate": CHALLENGE})
        case TooMany():
            return Fault(status=429, sentence=str(error), headers={"Retry-After": str(error.seconds)})
        case BoxError():
            return Fault(status=_status(error), sentence=str(error))
    return Fault(
        status=500, sentence="The server failed at this request; its log says at what, at this time of day."
    )


def _status(error: BoxError) -> int:
    table = {
        Forbidden: 403,
        Gone: 410,
        NotFound: 404,
        Conflict: 409,
        PeerRefused: 502,
        PeerUnreachable: 502,
        RequestTooLarge: 413,
        BadRequest: 400,
        UnreadableInstance: 400,
        Damaged: 500,
    }
    return next((status for kind, status in table.items() if isinstance(error, kind)), 500)


def _sentence(error: HTTPException) -> str:
    if error.status_code == 404:
        return "There is nothing at this address."
    if error.status_code == 405:
        return "This address does not take that method."
    return error.detail


def answer(fault: Fault) -> Response:
    """The fault for programs: `{"error": sentence}`, with what is offered instead where that is known."""
    body: dict[str, Any] = {"error": fault.sentence}
    if fault.offered:
        body["offered"] = fault.offered
    return Response(
        orjson.dumps(body),
        status_code=fault.status,
        headers=dict(fault.headers),
        media_type="application/json",
    )


class ErrorAnswers:
    """Middleware that answers what is raised below it; an answer already begun is broken off.

    `page` words it for a browser's own requests outside of /dicom-web and /wado.
    """

    def __init__(self, app: ASGIApp, page: ErrorPage | None = None) -> None:
        self.app = app
        self.page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; answer errors."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except ClientDisconnect:
            log.info("the client left: %s %s", scope["method"], _where(scope))
        except Exception as error:  # noqa: BLE001  (whatever it is: an answer, and a line in the log)
            fault = fault_of(error, method=scope["method"])
            if fault.status >= 500 or begun:
                _report(error, scope)
            if not begun:
                await worded(Request(scope, receive), fault, self.page)(scope, receive, send)


def worded(request: Request, fault: Fault, page: ErrorPage | None) -> Response:
    """The fault as a page where a person asks with a browser, else for programs."""
    if page is not None and not request.url.path.startswith(("/dicom-web", "/wado")):
        accept = request.headers.get("accept", "")
        if "text/html" in accept or request.headers.get("hx-request"):
            return page(request, fault)
    if fault.status == 401 and request.headers.get("sec-fetch-mode", "navigate") != "navigate":
        # A script's own request, as a viewer's when a log-in has ended: asked for Basic, the browser would
        # put its own window before the viewer, for each picture.
        fault = replace(fault, headers={**fault.headers, "WWW-Authenticate": _BEARER})
    return answer(fault)


def handlers(page: ErrorPage | None = None) -> dict[Any, Callable[[Request, Exception], Any]]:
    """Starlette's `exception_handlers`: for what its router and our handlers raise on purpose."""

    async def handle(request: Request, error: Exception) -> Response:
        fault = fault_of(error, method=request.method)
        if fault.status >= 500:
            _report(error, request.scope)
        return worded(request, fault, page)

    return {HTTPException: handle, BoxError: handle}


def described(error: BaseException) -> str:
    """What failed and where, for the log.

    A foreign exception's message is left out, as a request's query is: both can hold patient attributes.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error.__cause__, BoxError):  # Starlette wraps what is raised after the answer began
        error = error.__cause__
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    places = [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames)]
    said = f" ({error})" if isinstance(error, BoxError) else ""
    return f"{type(error).__name__}{said} at {' < '.join(places)}"


def _report(error: BaseException, scope: Scope) -> None:
    log.error("%s %s failed: %s", scope["method"], _where(scope), described(error))


def _where(scope: Scope) -> str:
    route = scope.get("route")
    return str(scope.get("root_path", "")) + str(getattr(route, "path", "")) if route else "(no route)"
