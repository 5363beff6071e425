"""One's own account: who one is here, one's password, where one has logged in."""

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts import credentials, sessions, users
from dicomweb_box.asgi.identity import address_of, identity_of
from dicomweb_box.errors import BadRequest, NotFound
from dicomweb_box.web.forms import posted
from dicomweb_box.web.page import page
from dicomweb_box.web.twins import as_json, done, for_programs


async def show(request: Request) -> Response:
    """The account, its rights, and its log-ins."""
    return await _page(request)


async def change_password(request: Request) -> Response:
    """Choose another password: the present one is asked again; every other log-in ends."""
    fields, identity, box = await posted(request), identity_of(request), request.app.state.box
    old, new, again = ((fields.values.get(name) or [""])[0] for name in ("password", "new", "again"))
    account = await own(request)
    if await credentials.proved(box, account.name, old, address=address_of(request)) is None:
        return await _page(request, messages={"password": "This is not the present password."}, status=422)
    if new != again:
        return await _page(request, messages={"again": "This is not the same."}, status=422)
    if new == old:
        return await _page(request, messages={"new": "This is the present password."}, status=422)
    try:
        await users.set_password(
            box, account.name, new, actor=identity.actor, must_change=False, keep_session=identity.session
        )
    except BadRequest as error:
        return await _page(request, messages={"new": str(error)}, status=422)
    return done(request, "/studies" if account.must_change else "/profile")


async def end_session(request: Request) -> Response:
    """End one of one's log-ins."""
    identity = identity_of(request)
    if identity.account is None or identity.token is not None or identity.link is not None:
        raise NotFound("There is no such log-in.")
    await sessions.end(
        request.app.state.box, request.path_params["id"], account=identity.account, actor=identity.actor
    )
    return done(request, "/profile")


async def own(request: Request) -> users.Account:
    """The account of who asks; raises NotFound for programs with a token, and without accounts."""
    identity = identity_of(request)
    if identity.account is None or identity.token is not None:
        raise NotFound("Only who has an account has a profile.")
    return await users.account(request.app.state.box, identity.actor.name)


async def _page(request: Request, *, messages: dict[str, str] | None = None, status: int = 200) -> Response:
    account, identity = await own(request), identity_of(request)
    assert identity.account is not None  # noqa: S101  (`own` has looked)
    found = await sessions.of(request.app.state.box, identity.account)
    if for_programs(request):
        if messages:
            return as_json({"error": " ".join(messages.values())}, status)
        resource: dict[str, Any] = asdict(account) | {"rights": identity.rights, "sessions": found}
        return as_json(resource, status)
    return page(
        request,
        "profile.html",
        status=status,
        account=account,
        rights=sorted(identity.rights),
        sessions=found,
        this=identity.session,
        messages=messages or {},
    )


ROUTES: list[BaseRoute] = [
    Route("/profile", show, methods=["GET"], name="profile"),
    Route("/profile.json", show, methods=["GET"]),
    Route("/profile/password", change_password, methods=["POST"]),
    Route("/profile/sessions/{id}/end", end_session, methods=["POST"]),
]
