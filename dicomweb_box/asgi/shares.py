"""What one client may ask for at once and in a second, so that nobody takes everybody's part.

Each web process counts on its own, in a table that does not grow without end. The limits are far above what a
viewer that fetches ahead or a ward behind one address needs.
"""

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from dicomweb_box.accounts.access import Identity
from dicomweb_box.accounts.addresses import client_key
from dicomweb_box.asgi.identity import KEY
from dicomweb_box.errors import TooMany, Unauthenticated

BURST = 10.0
"""Seconds of the rate that may be asked for at once after a pause."""
WRONG_PROOF = 60
"""Requests that one with a wrong token or password counts for: each costs a look-up, or 46 MiB."""
MOST_CLIENTS = 10_000

KeyOf = Callable[[Scope], str | None]


class _Client:
    """What one client is asking for; `free` is when all it asked for would be worked off at its rate."""

    __slots__ = ("free", "running")

    def __init__(self) -> None:
        self.running = 0
        self.free = 0.0


class Shares:
    """The table of clients; those least in the way are forgotten when it is full."""

    def __init__(
        self,
        *,
        at_once: int,
        rate: int,
        most: int = MOST_CLIENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._at_once = at_once
        self._each = 1 / rate
        self._most = most
        self._clock = clock
        self._clients: dict[str, _Client] = {}

    def __len__(self) -> int:
        return len(self._clients)

    def enter(self, key: str) -> None:
        """One request more; raises TooMany where that is too much."""
        now = self._clock()
        client = self._clients.get(key)
        if client is None:
            if len(self._clients) >= self._most:
                self._make_room(now)
            client = self._clients[key] = _Client()
        if client.running >= self._at_once:
            raise TooMany(f"More than {self._at_once} requests at once; wait for some of them.", seconds=1)
        free = max(client.free, now) + self._each
        if free - now > BURST:
            raise TooMany("Too many requests; ask more slowly.", seconds=int(free - now - BURST) + 1)
        client.free = free
        client.running += 1

    def leave(self, key: str) -> None:
        """A request was answered."""
        client = self._clients.get(key)
        if client is not None and client.running:
            client.running -= 1

    def charge(self, key: str, requests: int) -> None:
        """Count so many requests more."""
        client = self._clients.get(key)
        if client is not None:
            client.free += requests * self._each

    def _make_room(self, now: float) -> None:
        kept = {key: one for key, one in self._clients.items() if one.running or one.free > now}
        if len(kept) > self._most // 2:
            kept = {key: one for key, one in kept.items() if one.running}
        self._clients = kept


class FairShares:
    """Middleware that counts each request to its client; raises TooMany where it asks for too much."""

    def __init__(self, app: ASGIApp, *, key_of: KeyOf, at_once: int, rate: int) -> None:
        self.app = app
        self.key_of = key_of
        self.shares = Shares(at_once=at_once, rate=rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, counted; what has no key is not counted."""
        key = self.key_of(scope) if scope["type"] == "http" else None
        if key is None:
            await self.app(scope, receive, send)
            return
        self.shares.enter(key)
        try:
            await self.app(scope, receive, send)
        except Unauthenticated:
            self.shares.charge(key, WRONG_PROOF)
            raise
        finally:
            self.shares.leave(key)


def by_address(scope: Scope) -> str | None:
    """The client's network address, as far as one client has one."""
    client = scope.get("client")
    return client_key(client[0]) if client else None


def by_identity(scope: Scope) -> str | None:
    """The account or token that asks; None where nobody is known to."""
    identity: Identity = scope[KEY]
    return identity.token or identity.account
