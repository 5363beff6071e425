"""Other sites' pages in the user's own browser must not act here, nor read under a name of their own.

Cross-site request forgery: an unsafe request is refused where the browser says that another origin made it.
DNS rebinding, poisoned links: a request under a name that is none of ours is refused.
"""

from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from dicomweb_box.asgi.errors import Fault, answer
from dicomweb_box.asgi.hosts import Hosts

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOKED_AT = frozenset({b"host", b"origin", b"sec-fetch-site", b"cookie", b"authorization", b"user-agent"})

_FORGED = Fault(status=403, sentence="Another site's page may not change anything here.")
_REBOUND = Fault(
    status=421,
    sentence="This server is not known under that name: it is localhost, the address that it listens on,"
    " the names of its certificate, and what the settings public_url and allowed_hosts say.",
)


class SameOrigin:
    """Middleware that refuses forged requests, and those under a name that is none of ours."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        public_url: str | None = None,
        allowed_origins: Collection[str] = (),
        hosts: Hosts | None = None,
    ) -> None:
        self.app = app
        self.hosts = hosts or Hosts(public_url=public_url)
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
        if host and not self.hosts.may_be_called(host, scope):
            fault = _REBOUND
        elif scope.get("method") not in SAFE_METHODS and self._is_forged(scope["scheme"], host, headers):
            fault = _FORGED
        if fault is None:
            await self.app(scope, receive, send)
        else:
            await answer(fault)(scope, receive, send)

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


def _origin_of(url: str) -> str:
    """Scheme, host and port of a URL as a browser writes them in Origin: default ports left out."""
    scheme, _, rest = url.lower().partition("://")
    place = rest.split("/")[0]
    return f"{scheme}://{place.removesuffix({'http': ':80', 'https': ':443'}.get(scheme, ' '))}"
