"""Other sites' pages in the user's own browser must not act here, nor read under a name of their own.

Cross-site request forgery: an unsafe request is refused where the browser says that another origin made it.
DNS rebinding: while only loopback is served, a request under any name but a loopback one (or that of
`public_url`) is refused.
"""

import ipaddress
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from dicomweb_box.asgi.errors import Fault, answer

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOKED_AT = frozenset({b"host", b"origin", b"sec-fetch-site", b"cookie", b"authorization", b"user-agent"})

_FORGED = Fault(status=403, sentence="Another site's page may not change anything here.")
_REBOUND = Fault(
    status=421,
    sentence="This server is only reached as localhost; set public_url for the name of a reverse proxy.",
)


class SameOrigin:
    """Middleware that refuses forged requests, and those under a foreign host name where `loopback_only`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        public_url: str | None = None,
        allowed_origins: Collection[str] = (),
        loopback_only: bool = True,
    ) -> None:
        self.app = app
        self.loopback_only = loopback_only
        self.public_host = urlsplit(public_url).hostname if public_url else None
        own = {_origin_of(public_url)} if public_url else set()
        self.allowed = frozenset({*map(_origin_of, allowed_origins), *own})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"] if name in _LOOKED_AT}
        host = headers.get(b"host", b"").decode("latin-1")
        fault = None
        if self.loopback_only and host and not self._may_be_called(host):
            fault = _REBOUND
        elif scope.get("method") not in SAFE_METHODS and self._is_forged(scope["scheme"], host, headers):
            fault = _FORGED
        if fault is None:
            await self.app(scope, receive, send)
        else:
            await answer(fault)(scope, receive, send)

    def _may_be_called(self, host: str) -> bool:
        name = _name_of(host)
        return name is not None and (name == self.public_host or _is_loopback(name))

    def _is_forged(self, scheme: str, host: str, headers: dict[bytes, bytes]) -> bool:
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if origin and origin in self.allowed:
            return False
        site = headers.get(b"sec-fetch-site")
        if site is not None:
            return site not in (b"same-origin", b"none")
        if origin:
            return origin != _origin_of(f"{scheme}://{host}")
        # Neither: no browser of today. But what a browser adds by itself is no proof of anybody's will.
        basic = headers.get(b"authorization", b"").lower().startswith(b"basic ")
        browser = headers.get(b"user-agent", b"").startswith(b"Mozilla/")
        return b"cookie" in headers or (basic and browser)


@lru_cache(maxsize=256)
def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _is_loopback(name: str) -> bool:
    name = name.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 6.3
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _origin_of(url: str) -> str:
    """Scheme, host and port of a URL as a browser writes them in Origin: default ports left out."""
    scheme, _, rest = url.lower().partition("://")
    place = rest.split("/")[0]
    return f"{scheme}://{place.removesuffix({'http': ':80', 'https': ':443'}.get(scheme, ' '))}"
