"""Who asks, and what they may see.

Until accounts exist everyone is anonymous and sees everything. That is safe only because the server
refuses to listen on an address that is not loopback, and `same_origin` refuses requests under any other name.
"""

from starlette.requests import Request

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, Actor, Scope


def identify(request: Request) -> tuple[Actor, Scope]:
    """The actor of a request and the part of the archive that it may touch."""
    return ANONYMOUS, EVERYTHING


def address_of(request: Request) -> str:
    """The peer's network address, to name the source of what it sends; "unknown" where there is none."""
    return request.client.host if request.client else "unknown"
