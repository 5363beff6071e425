"""Accounts, for who administers: the list, a new one, and what may be done with one."""

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts import granting, roles, second_factor, sessions, users
from dicomweb_box.accounts.users import Account
from dicomweb_box.asgi.identity import identity_of
from dicomweb_box.errors import BadRequest, Conflict, Forbidden
from dicomweb_box.web import parts
from dicomweb_box.web.forms import Fields, posted
from dicomweb_box.web.page import page
from dicomweb_box.web.twins import as_json, done, for_programs

_REFUSALS = (BadRequest, Conflict, Forbidden)


async def index(request: Request) -> Response:
    """Every account."""
    found = await users.every(request.app.state.box)
    if for_programs(request):
        return as_json(found)
    return page(request, "users/index.html", accounts=found)


async def blank(request: Request) -> Response:
    """The form of a new one."""
    return await _form(request, Fields({}))


async def create(request: Request) -> Response:
    """Make the posted account; its one-time password is told in the answer, and nowhere else."""
    fields, identity, box = await posted(request), identity_of(request), request.app.state.box
    try:
        password = await users.add(
            box,
            fields.one("name"),
            role=fields.one("role"),
            full_name=fields.one("full_name"),
            scope=parts.part_of(fields),
            actor=identity.actor,
            giver=granting.as_administrator(identity),
        )
    except _REFUSALS as error:
        if for_programs(request):
            raise
        return await _form(request, fields, error)
    made = await users.account(box, " ".join(fields.one("name").split()))
    return _told(request, made, password, status=201)


async def show(request: Request) -> Response:
    """One account: what it may do, where it has logged in, and what may be done with it."""
    return await _show(request, await _one(request))


async def change(request: Request) -> Response:
    """Change the role, the full name or the part of an account: what is posted of them."""
    fields, account, identity = await posted(request), await _one(request), identity_of(request)
    try:
        await users.change(
            request.app.state.box,
            account.name,
            role=fields.one("role") or None,
            full_name=fields.one("full_name") if "full_name" in fields.values else None,
            scope=parts.part_of(fields),
            actor=identity.actor,
            giver=granting.as_administrator(identity),
        )
    except _REFUSALS as error:
        if for_programs(request):
            raise
        return await _show(request, account, fields, error)
    return await _done(request, account)


async def switch(request: Request) -> Response:
    """Let an account log in no more, or again, by the posted `enabled`."""
    fields, account, identity = await posted(request), await _one(request), identity_of(request)
    if "enabled" not in fields.values:
        raise BadRequest("enabled says whether it may log in.")
    await users.set_disabled(
        request.app.state.box,
        account.name,
        disabled=not fields.flag("enabled"),
        actor=identity.actor,
        giver=granting.as_administrator(identity),
    )
    return await _done(request, account)


async def reset_password(request: Request) -> Response:
    """Give an account a one-time password, told in the answer, and nowhere else; its log-ins end."""
    account, identity = await _one(request), identity_of(request)
    if account.id == identity.account:
        raise Conflict("One's own password is changed on the profile page.")
    password = await users.set_password(
        request.app.state.box,
        account.name,
        None,
        must_change=True,
        actor=identity.actor,
        giver=granting.as_administrator(identity),
    )
    return _told(request, account, password)


async def reset_second_factor(request: Request) -> Response:
    """Take the second factor off an account whose owner has lost it; its log-ins end."""
    account, identity = await _one(request), identity_of(request)
    giver = granting.as_administrator(identity)
    await second_factor.reset(request.app.state.box, account.name, actor=identity.actor, giver=giver)
    return await _done(request, account)


async def end_sessions(request: Request) -> Response:
    """End every log-in of an account, but for the one that asks."""
    account = await _one(request)
    identity = identity_of(request)
    await sessions.end_all(
        request.app.state.box,
        account=account.id,
        actor=identity.actor,
        but=identity.session,
        giver=granting.as_administrator(identity),
    )
    return await _done(request, account)


async def _one(request: Request) -> Account:
    return await users.by_key(request.app.state.box, request.path_params["id"])


async def _done(request: Request, account: Account) -> Response:
    changed = await users.by_key(request.app.state.box, account.id)
    return done(request, f"/users/{account.id}", resource=changed)


def _told(request: Request, account: Account, password: str, *, status: int = 200) -> Response:
    address = f"/users/{account.id}"
    if for_programs(request):
        return as_json(asdict(account) | {"password": password}, status, location=address)
    return page(request, "users/told.html", account=account, password=password, status=status)


async def _form(request: Request, fields: Fields, error: Exception | None = None) -> Response:
    return page(
        request,
        "users/new.html",
        roles=await roles.every(request.app.state.box),
        name=fields.one("name"),
        full_name=fields.one("full_name"),
        role=fields.one("role", "viewer"),
        part=parts.typed(fields),
        message="" if error is None else str(error),
        status=200 if error is None else 422,
    )


async def _show(
    request: Request, account: Account, fields: Fields | None = None, error: Exception | None = None
) -> Response:
    box = request.app.state.box
    found = await sessions.of(box, account.id)
    if for_programs(request):
        resource: dict[str, Any] = asdict(account) | {"sessions": found}
        return as_json(resource)
    return page(
        request,
        "users/show.html",
        account=account,
        sessions=found,
        roles=await roles.every(box),
        own=account.id == identity_of(request).account,
        full_name=fields.one("full_name") if fields else account.full_name,
        role=fields.one("role") if fields else account.role,
        part=parts.typed(fields) if fields else parts.kept(account.scope),
        message="" if error is None else str(error),
        status=200 if error is None else 422,
    )


ROUTES: list[BaseRoute] = [
    Route("/users", index, methods=["GET"], name="users"),
    Route("/users.json", index, methods=["GET"]),
    Route("/users", create, methods=["POST"]),
    Route("/users/new", blank, methods=["GET"], name="user_new"),
    Route("/users/{id}.json", show, methods=["GET"]),
    Route("/users/{id}", show, methods=["GET"], name="user"),
    Route("/users/{id}", change, methods=["POST"]),
    Route("/users/{id}/enabled", switch, methods=["POST"]),
    Route("/users/{id}/password", reset_password, methods=["POST"]),
    Route("/users/{id}/second-factor/reset", reset_second_factor, methods=["POST"]),
    Route("/users/{id}/sessions/end", end_sessions, methods=["POST"]),
]
