"""Finds out who a request is from: a session's cookie, Basic, or Bearer (RFC 7617, RFC 6750).

What is not proved is nobody's, and may see what everybody may; a proof that is wrong is refused (401).
"""

import base64
import binascii
from collections.abc import Mapping

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from dicomweb_box.accounts import credentials, shares, signed
from dicomweb_box.accounts.access import ANYBODY, NOBODY, Identity
from dicomweb_box.accounts.signed import Signature
from dicomweb_box.asgi.auditing import note_unproved
from dicomweb_box.asgi.hosts import is_secure
from dicomweb_box.asgi.identity import KEY, address_of
from dicomweb_box.box import Box
from dicomweb_box.errors import Unauthenticated

COOKIE = "dicomweb_box"
SECURE_COOKIE = f"__Host-{COOKIE}"
"""Where the browser is reached by https: no other host, no plain http can set it (RFC 6265bis 4.1.3)."""
LINK_COOKIE, SECURE_LINK_COOKIE = f"{COOKIE}_link", f"{SECURE_COOKIE}_link"
"""Of a share link that was opened: it goes before a log-in, so that one sees what others will see."""


class Authentication:
    """Middleware that puts the Identity of each request where `asgi.identity` finds it."""

    def __init__(self, app: ASGIApp, *, no_auth: bool) -> None:
        self.app = app
        self.no_auth = no_auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; raises Unauthenticated for a proof that is wrong, TooMany where guessing is slowed."""
        if scope["type"] in ("http", "websocket"):
            signature = _signature(scope)
            found = ANYBODY if self.no_auth else await _identity(scope, signature)
            scope[KEY] = found.at(address_of(HTTPConnection(scope)))
        await self.app(scope, receive, send)


async def _identity(scope: Scope, signature: Signature | None) -> Identity:
    box: Box = scope["app"].state.box
    authorization = cookies = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value
        elif name == b"cookie":
            cookies = value
    if authorization is not None:
        return await _by_header(box, authorization.decode("latin-1"), scope)
    if signature is not None:
        if scope["method"] not in ("GET", "HEAD"):
            raise Unauthenticated("A signed address is asked for by GET.")
        return await signed.proved(box, signature)
    if cookies is None:
        return NOBODY
    return await _by_cookie(box, _cookies(cookies), secure=is_secure(HTTPConnection(scope)))


async def _by_cookie(box: Box, cookies: Mapping[str, str], *, secure: bool) -> Identity:
    link = _own(cookies, LINK_COOKIE, secure=secure)
    if link and (found := await shares.by_cookie(box, link)):
        return found
    secret = _own(cookies, COOKIE, secure=secure)
    return (await credentials.by_session(box, secret) if secret else None) or NOBODY


def _cookies(header: bytes) -> dict[str, str]:
    """The cookies of a request; ours need no unquoting (RFC 6265 4.2.1)."""
    found = {}
    for one in header.decode("latin-1").split(";"):
        name, _, value = one.partition("=")
        found[name.strip()] = value.strip()
    return found


def _own(cookies: Mapping[str, str], name: str, *, secure: bool) -> str:
    """What a cookie of ours holds; empty without it.

    Over https one without the prefix is not ours: any host of the domain can set it, and so let somebody
    work under another name than their own.
    """
    return cookies.get(f"__Host-{name}") or ("" if secure else cookies.get(name, ""))


def _signature(scope: Scope) -> Signature | None:
    """The proof in the address itself, of the services alone; it is taken out before anything reads it."""
    query: bytes = scope.get("query_string", b"")
    if b"signature=" not in query or not scope["path"].startswith(signed.SERVICES):
        return None
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    found = signed.taken_apart(raw.decode("latin-1"), query.decode("latin-1"))
    if found is not None:
        scope["query_string"] = found.query.encode("latin-1")
    return found


def secret_of(request: HTTPConnection) -> str:
    """What the cookie of a log-in holds; empty without one."""
    return _own(request.cookies, COOKIE, secure=is_secure(request))


async def _by_header(box: Box, authorization: str, scope: Scope) -> Identity:
    scheme, _, given = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            found = await credentials.by_token(box, given.strip())
            if found is None:
                note_unproved(scope)
        case "basic":
            name, password = _name_and_password(given)
            address = address_of(HTTPConnection(scope))
            found = await credentials.by_password(box, name, password, address=address)
            if found is None and password.startswith(credentials.TOKEN_PREFIX):
                note_unproved(scope)
        case _:
            raise Unauthenticated("Authorization is by Basic or Bearer.")
    if found is None:
        raise Unauthenticated("These credentials are not valid here.")
    return found


def _name_and_password(given: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(given.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated("The Basic credentials are not base64 of UTF-8.") from None
    name, colon, password = text.partition(":")
    if not colon or "\0" in text:  # RFC 7617 2: no control characters; and PostgreSQL takes no NUL
        raise Unauthenticated("The Basic credentials have no colon, or hold a NUL character.")
    return name, password
