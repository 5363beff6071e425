"""Under which names the server may be called: absolute addresses in answers are made of them.

A name that is none of ours comes from a browser that was told our address under it (DNS rebinding), or from
somebody who wants such addresses to lead to them.
"""

import ipaddress
import socket
from collections.abc import Callable, Collection
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import Scope

from dicomweb_box.accounts.addresses import plain_address

Names = Callable[[], Collection[str]]


class Hosts:
    """The names of this server."""

    def __init__(
        self, *, public_url: str | None = None, allowed: Collection[str] = (), certified: Names | None = None
    ) -> None:
        """`certified` gives the names of the certificate, which may change."""
        public = urlsplit(public_url).hostname if public_url else None
        machine = socket.gethostname().lower()
        self._named = frozenset(filter(None, {public, machine, *map(str.lower, allowed)}))
        self._certified = certified or tuple

    def may_be_called(self, host: str, scope: Scope) -> bool:
        """Whether a Host header is ours: loopback, the address that was connected to, or a known name."""
        name = name_of(host)
        if name is None:
            return False
        return (
            is_loopback(name)
            or _among(name, self._named)
            or _among(name, self._certified())
            or _is_own_address(name, scope)
        )


def is_secure(request: HTTPConnection) -> bool:
    """Whether the browser reaches us by https, as far as we can know."""
    if request.scope["scheme"] in ("https", "wss"):
        return True
    public: str | None = request.scope["app"].state.box.settings.public_url
    return public is not None and public.startswith("https://")


@lru_cache(maxsize=256)
def name_of(host: str) -> str | None:
    """The name in a Host header, in lower case; None where it is none."""
    try:
        found = urlsplit(f"//{host}")
        _ = found.port
    except ValueError:
        return None
    if found.username is not None or found.path or found.query or found.fragment:
        return None
    return found.hostname.rstrip(".") if found.hostname else None


@lru_cache(maxsize=256)
def is_loopback(name: str) -> bool:
    """Whether a name or address leads to the machine that asks."""
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761 6.3
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _among(name: str, names: Collection[str]) -> bool:
    """`*.example.org` among them stands for names with one label more, as in certificates (RFC 9525 6.3)."""
    return name in names or f"*.{name.partition('.')[2]}" in names


def _is_own_address(name: str, scope: Scope) -> bool:
    server = scope.get("server")
    if not server:
        return False
    try:
        return plain_address(name) == plain_address(str(server[0]))
    except ValueError:
        return False
