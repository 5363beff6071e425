"""Tokens: one's own, for administrators everybody's; each is made here and told once."""

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts import granting, tokens, users
from dicomweb_box.accounts.access import Identity
from dicomweb_box.accounts.rights import MEANING, Right
from dicomweb_box.accounts.tokens import Token
from dicomweb_box.asgi.identity import identity_of
from dicomweb_box.errors import BadRequest, Forbidden, NotFound
from dicomweb_box.web import parts
from dicomweb_box.web.forms import Fields, posted
from dicomweb_box.web.page import page
from dicomweb_box.web.twins import as_json, done, for_programs

LIVES = {"7d": "A week", "30d": "30 days", "90d": "90 days", "1y": "A year"}
DEFAULT_LIFE = "90d"


async def index(request: Request) -> Response:
    """One's tokens, for who administers all of them."""
    identity = _holder(request)
    found = await tokens.every(request.app.state.box, account=_only(identity))
    if for_programs(request):
        return as_json(found)
    now = request.app.state.box.clock().isoformat(timespec="seconds")
    return page(request, "tokens/index.html", tokens=found, everybody=_only(identity) is None, now=now)


async def blank(request: Request) -> Response:
    """The form of a new one."""
    part = parts.kept(await _own_part(request, _holder(request)) or {})
    return _form(request, Fields({"rights": ["see", "identities"]}), part=part)


async def create(request: Request) -> Response:
    """Make a token of one's own; its secret is told in the answer, and nowhere else."""
    identity, fields, box = _holder(request), await posted(request), request.app.state.box
    try:
        part = parts.part_of(fields)
        key, secret = await tokens.create(
            box,
            fields.one("name"),
            rights=fields.all("rights"),
            scope=await _own_part(request, identity) if part is None else part,
            expires=tokens.life(fields.one("expires", DEFAULT_LIFE)),
            account=identity.account,
            actor=identity.actor,
            giver=granting.as_owner(identity),
        )
    except (BadRequest, Forbidden) as error:
        if for_programs(request):
            raise
        return _form(request, fields, error)
    made = await _one(request, key)
    if for_programs(request):
        return as_json(asdict(made) | {"secret": secret}, 201, location="/tokens")
    root = (box.settings.public_url or str(request.base_url)).rstrip("/")
    return page(request, "tokens/told.html", token=made, secret=secret, root=root, status=201)


async def confirm(request: Request) -> Response:
    """Whether to revoke a token."""
    return page(request, "tokens/revoke.html", token=await _one(request, request.path_params["id"]))


async def revoke(request: Request) -> Response:
    """Let a token be valid no more."""
    identity = _holder(request)
    key = request.path_params["id"]
    await tokens.revoke(request.app.state.box, key, actor=identity.actor, account=_only(identity))
    return done(request, "/tokens")


def _holder(request: Request) -> Identity:
    """Who asks, if tokens may be theirs; raises Forbidden for programs: a token makes no others."""
    identity = identity_of(request)
    if identity.may(Right.ADMINISTER) or (identity.account is not None and identity.token is None):
        return identity
    raise Forbidden("Tokens belong to people: log in with an account.")


async def _own_part(request: Request, identity: Identity) -> dict[str, Any] | None:
    """The part of the archive that the account has: what a token is for where nothing else is said."""
    if identity.account is None:
        return None
    return (await users.by_key(request.app.state.box, identity.account)).scope


def _only(identity: Identity) -> str | None:
    """The account whose tokens are meant; None: everybody's."""
    return None if identity.may(Right.ADMINISTER) and identity.scope.whole else identity.account or ""


async def _one(request: Request, key: str) -> Token:
    found = await tokens.every(request.app.state.box, account=_only(_holder(request)))
    for one in found:
        if one.id == key:
            return one
    raise NotFound("There is no such token.")


def _form(
    request: Request, fields: Fields, error: Exception | None = None, *, part: dict[str, Any] | None = None
) -> Response:
    identity = identity_of(request)
    return page(
        request,
        "tokens/new.html",
        name=fields.one("name"),
        rights={one: MEANING[one] for one in Right if identity.may(one)},
        ticked=fields.all("rights"),
        part=part or parts.typed(fields),
        lives=LIVES,
        life=fields.one("expires", DEFAULT_LIFE),
        message="" if error is None else str(error),
        status=200 if error is None else 422,
    )


ROUTES: list[BaseRoute] = [
    Route("/tokens", index, methods=["GET"], name="tokens"),
    Route("/tokens.json", index, methods=["GET"]),
    Route("/tokens", create, methods=["POST"]),
    Route("/tokens/new", blank, methods=["GET"], name="token_new"),
    Route("/tokens/{id}", revoke, methods=["DELETE"]),
    Route("/tokens/{id}/revoke", confirm, methods=["GET"], name="token_revoke"),
    Route("/tokens/{id}/revoke", revoke, methods=["POST"]),
]
