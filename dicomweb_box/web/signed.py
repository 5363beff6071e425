"""Signing addresses for programs that can send no headers."""

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts import signed
from dicomweb_box.asgi.identity import identity_of
from dicomweb_box.errors import BadRequest
from dicomweb_box.web.forms import posted
from dicomweb_box.web.twins import as_json

DEFAULT_SECONDS = "300"


async def sign(request: Request) -> Response:
    """The posted `path`, an address of the services, with its proof, good for `seconds`."""
    fields, box = await posted(request), request.app.state.box
    seconds = fields.one("seconds", DEFAULT_SECONDS)
    if not (seconds.isascii() and seconds.isdecimal() and len(seconds) < 6):
        raise BadRequest("seconds is a whole number.")
    address, ends = await signed.sign(
        box, identity_of(request), fields.one("path"), life=timedelta(seconds=int(seconds))
    )
    root = (box.settings.public_url or str(request.base_url)).rstrip("/")
    return as_json({"url": root + address, "expires": ends.isoformat()})


ROUTES: list[BaseRoute] = [Route("/signed", sign, methods=["POST"], name="signed")]
