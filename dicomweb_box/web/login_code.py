"""The second step of logging in: a code of the second factor, or a recovery code."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts import second_factor, sessions
from dicomweb_box.accounts.sessions import Waiting
from dicomweb_box.asgi.authentication import secret_of
from dicomweb_box.asgi.identity import address_of
from dicomweb_box.errors import Conflict, TooMany, Unauthenticated
from dicomweb_box.web.forms import posted
from dicomweb_box.web.login import inside, led_on
from dicomweb_box.web.page import HEADERS, page
from dicomweb_box.web.twins import for_programs


async def ask(request: Request) -> Response:
    """The form; back to the first step where nobody has taken it, or too long ago."""
    if await _waiting(request) is None:
        return RedirectResponse("/login", 303, headers=HEADERS)
    return _form(request, inside(request.query_params.get("next", "")))


async def take(request: Request) -> Response:
    """Log in: 303 with another cookie, or the form again (401, 429)."""
    fields, box = await posted(request), request.app.state.box
    onward, waiting = inside(fields.one("next")), await _waiting(request)
    if waiting is None:
        if for_programs(request):
            raise Conflict("Log in with name and password first.")
        return RedirectResponse("/login", 303, headers=HEADERS)
    address = address_of(request)
    try:
        right = await second_factor.passes(
            box, waiting.account, waiting.name, fields.one("code"), address=address
        )
    except TooMany as error:
        if for_programs(request):
            raise
        answer = _form(request, onward, message=f"{error} ({error.seconds} s)", status=429)
        answer.headers["Retry-After"] = str(error.seconds)
        return answer
    if not right:
        if for_programs(request):
            raise Unauthenticated("This code is not right, or was used before.")
        return _form(request, onward, message="This code is not right, or was used before.", status=401)
    agent = request.headers.get("user-agent", "")
    # With another secret: whoever saw the first one has nothing of it.
    begun = await sessions.begin(box, waiting.account, address=address, agent=agent, instead_of=waiting.id)
    return led_on(request, begun, onward)


async def _waiting(request: Request) -> Waiting | None:
    secret = secret_of(request)
    return await sessions.waiting(request.app.state.box, secret) if secret else None


def _form(request: Request, onward: str, **more: Any) -> Response:
    return page(request, "login_code.html", **{"onward": onward, "message": "", **more})


ROUTES: list[BaseRoute] = [
    Route("/login/code", ask, methods=["GET"], name="login_code"),
    Route("/login/code", take, methods=["POST"]),
]
