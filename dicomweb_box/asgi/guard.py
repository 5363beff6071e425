"""Lets nobody through to a route who has not the rights that the table asks for it."""

from collections.abc import Iterable, Iterator
from typing import Any

from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from dicomweb_box.accounts.access import Identity
from dicomweb_box.accounts.rights import Right
from dicomweb_box.asgi.audit_table import action_of
from dicomweb_box.asgi.auditing import Noted
from dicomweb_box.asgi.identity import KEY
from dicomweb_box.asgi.rights_table import NEEDED, Needed
from dicomweb_box.errors import Forbidden, Unauthenticated


class Guard:
    """A route's application behind what it needs."""

    def __init__(self, app: ASGIApp, needed: dict[str, Needed]) -> None:
        self.app = app
        self.needed = needed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; raises Unauthenticated or Forbidden."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        needed = self.needed.get(method)
        if needed is not None:
            check(scope[KEY], needed)
        await self.app(scope, receive, send)


def check(identity: Identity, needed: frozenset[Right]) -> None:
    """Raises Unauthenticated where nobody is known to ask, Forbidden where a right is missing."""
    if needed <= identity.rights and (identity.rights or identity.account is not None):
        return
    if identity.account is None and identity.token is None and identity.actor.kind == "anonymous":
        raise Unauthenticated("Log in first.")
    if identity.must_change:
        raise Forbidden("Choose a password of your own first, on the profile page.")
    if identity.must_enrol:
        raise Forbidden("Set up a second factor first, on its page in the profile.")
    missing = " and ".join(sorted(f"“{right}”" for right in needed - identity.rights))
    raise Forbidden(f"This needs the right {missing}.")


def guarded(routes: Iterable[BaseRoute], prefix: str = "") -> None:
    """Put the guard before each route, and note what came of asking.

    Raises KeyError for a route that the table does not know.
    """
    for route, path in each(routes, prefix):
        methods = {"GET" if method == "HEAD" else method for method in route.methods or {"GET"}}
        needed = {method: NEEDED[f"{method} {path}"] for method in methods}
        if not isinstance(route.app, Noted):
            actions = {method: action_of(f"{method} {path}") for method in methods}
            route.app = Noted(Guard(route.app, needed), actions)


def each(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[tuple[Route, str]]:
    """Every route with its whole path, those of mounts and of services under one address included."""
    for route in routes:
        if isinstance(route, Route):
            yield route, prefix + route.path
        elif isinstance(route, Mount):
            yield from each(route.routes, prefix + route.path)
        else:
            inner: Any = route
            yield from each(inner.routes, prefix)
