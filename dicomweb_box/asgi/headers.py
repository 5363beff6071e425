"""Headers that every answer carries: what a browser may do with it, who may keep it, who may call."""

import re
from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; media-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'"
)

_SERVICES = re.compile(r"/(dicom-web|wado)(/|$)")
_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin"))
_PAGES = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode("ascii")),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"SAMEORIGIN"),
)
# Stored documents are served under their own type; none of these may run a script in the archive's origin.
# Whatever ends in +xml is XML to some browsers, and runs scripts (RFC 7303 4.2).
_MARKUP = re.compile(rb"\s*(?:text/html|text/xml|application/xml|[^;]*\+xml)", re.IGNORECASE)
# What somebody stored is shown without scripts, styles, forms, and as of no origin.
_STORED = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'self'; sandbox")
# RFC 6797. Whether all names below ours speak https is not ours to say: no includeSubDomains.
_ONLY_HTTPS = (b"strict-transport-security", b"max-age=31536000")
_NO_STORE = (b"cache-control", b"no-store")
_REVALIDATE = (b"cache-control", b"private, no-cache")

CORS_METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")
CORS_ALLOWED = (
    "Accept",
    "Authorization",
    "Content-Type",
    "If-None-Match",
    "If-Range",
    "Range",
    "X-Requested-With",
)
CORS_EXPOSED = (
    "Content-Type", "Content-Location", "Content-Range", "Content-Length", "Accept-Ranges", "ETag",
    "Location", "Retry-After", "Warning", "X-Total-Count",
)  # fmt: skip
CORS_SECONDS = 24 * 3600


class AnswerHeaders:
    """Middleware that adds the security headers, and Cache-Control where the handler set none."""

    def __init__(self, app: ASGIApp, *, secure: bool = False) -> None:
        """`secure`: whoever asks came by https, whatever the last hop to us is."""
        self.app = app
        self.secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; add to the head of the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = _added(message.get("headers", ()), scope["path"])
                if self.secure or scope["scheme"] == "https":
                    added.append(_ONLY_HTTPS)
                message["headers"] = added
            await send(message)

        await self.app(scope, receive, adding)


def _added(headers: Sequence[tuple[bytes, bytes]], path: str) -> list[tuple[bytes, bytes]]:
    names = {name.lower(): value for name, value in headers}
    added = [*headers, *(one for one in _ALWAYS if one[0] not in names)]
    if _MARKUP.match(names.get(b"content-type", b"")) and b"content-security-policy" not in names:
        added += (_STORED, *_PAGES[1:]) if _SERVICES.match(path) else _PAGES
    if b"cache-control" not in names:
        # Only what carries a validator may be kept, and is asked about each time: rights and objects change.
        added.append(_REVALIDATE if b"etag" in names else _NO_STORE)
    return added


class CrossOrigin:
    """Middleware that lets browsers of allowed origins call the services, errors included (Fetch, CORS)."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self.app = app
        self.cors = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=CORS_METHODS,
            allow_headers=CORS_ALLOWED,
            expose_headers=CORS_EXPOSED,
            max_age=CORS_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, through CORS for /dicom-web and /wado alone."""
        shared = scope["type"] == "http" and _SERVICES.match(scope["path"])
        await (self.cors if shared else self.app)(scope, receive, send)
