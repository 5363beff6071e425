"""What trusted proxies tell of the client: its address, and how it reached them.

Anybody can write such headers, so they count only from an address in `trusted_proxies`, and only as far as
such addresses have written them: the client is the rightmost hop that is no trusted proxy.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from dicomweb_box.accounts.addresses import plain_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# RFC 7239 4: name "=" ( token / quoted-string ), elements parted by commas, pairs by semicolons.
_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~\w-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*(;|,|$)')
_MOST_HOPS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Hop:
    """What one proxy says of who asked it."""

    address: str | None
    scheme: str | None = None
    host: str | None = None


class TrustedProxies:
    """Middleware that puts the client's own address, scheme and host where the rest finds them."""

    def __init__(self, app: ASGIApp, *, trusted: Sequence[Network], header: str) -> None:
        self.app = app
        self.trusted = tuple(trusted)
        self.header = header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what the proxies say, where it is they who ask."""
        client = scope.get("client")
        if scope["type"] in ("http", "websocket") and client and self._trusts(client[0]):
            scope = self._as_told(scope)
        await self.app(scope, receive, send)

    def _trusts(self, address: str) -> bool:
        return is_within(address, self.trusted)

    def _as_told(self, scope: Scope) -> Scope:
        hops = self._hops(scope)
        if not hops:
            return scope
        told = dict(scope)
        asked = hops[-1]
        for hop in reversed(hops):
            if hop.address is None:
                break  # who that was is not known: the proxy that says so is the nearest we know
            asked = hop
            told["client"] = (hop.address, 0)
            if not self._trusts(hop.address):
                break
        if asked.scheme in ("http", "https"):
            told["scheme"] = asked.scheme
        if asked.host:
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            told["headers"] = [(b"host", asked.host.encode("latin-1")), *others]
        return told

    def _hops(self, scope: Scope) -> list[Hop]:
        headers = scope["headers"]
        if self.header == "forwarded":
            return forwarded(_joined(headers, b"forwarded"))
        addresses = _joined(headers, b"x-forwarded-for")
        found = (
            [Hop(address=_address(text)) for text in addresses.split(",")[-_MOST_HOPS:]] if addresses else []
        )
        # One proxy writes them; of several the nearest wrote the last, and it asks on behalf of the client.
        scheme, host = (
            _joined(headers, name).rpartition(",")[2].strip() or None
            for name in (b"x-forwarded-proto", b"x-forwarded-host")
        )
        client = scope["client"][0]
        hops = found or [Hop(address=client)]
        return [Hop(address=hop.address, scheme=scheme and scheme.lower(), host=host) for hop in hops]


def forwarded(text: str) -> list[Hop]:
    """The hops of a Forwarded header (RFC 7239); none where it is not one."""
    hops: list[Hop] = []
    pairs: dict[str, str] = {}
    place = 0
    while place < len(text):
        found = _PAIR.match(text, place)
        if found is None:
            return []
        name, value, ended = found.groups()
        pairs[name.lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        if ended != ";":
            scheme, host = pairs.get("proto"), pairs.get("host")
            address = _address(pairs.get("for", ""))
            hops.append(Hop(address=address, scheme=scheme and scheme.lower(), host=host))
            pairs = {}
        place = found.end()
    return hops[-_MOST_HOPS:]


def _joined(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    return ",".join(value.decode("latin-1") for given, value in headers if given == name)


def _address(text: str) -> str | None:
    """The address in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`; None for others."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(plain_address(text))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def is_within(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address is in one of the networks."""
    try:
        plain = plain_address(address)
    except ValueError:
        return False
    return any(plain in network for network in networks)
