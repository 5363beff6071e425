"""Who asks, and what part of the archive is theirs, as `authentication` found it."""

from starlette.requests import HTTPConnection

from dicomweb_box.accounts.access import Actor, Identity, Scope

KEY = "dicomweb_box.identity"


def identity_of(request: HTTPConnection) -> Identity:
    """Who the request is from, as far as it proves it."""
    found: Identity = request.scope[KEY]
    return found


def identify(request: HTTPConnection) -> tuple[Actor, Scope]:
    """The actor of a request and the part of the archive that it may touch."""
    found: Identity = request.scope[KEY]
    return found.actor, found.scope


def address_of(request: HTTPConnection) -> str:
    """The peer's network address, to name the source of what it sends; "unknown" where there is none."""
    return request.client.host if request.client else "unknown"
