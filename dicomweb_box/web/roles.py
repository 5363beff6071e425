"""Roles, for who administers: the list, and one with its rights."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts import granting, roles
from dicomweb_box.accounts.rights import MEANING, Right
from dicomweb_box.accounts.roles import Role
from dicomweb_box.asgi.identity import identity_of
from dicomweb_box.errors import BadRequest, Conflict, Forbidden
from dicomweb_box.web.forms import posted
from dicomweb_box.web.page import page
from dicomweb_box.web.twins import as_json, done, for_programs

_REFUSALS = (BadRequest, Conflict, Forbidden)


async def index(request: Request) -> Response:
    """Every role."""
    found = await roles.every(request.app.state.box)
    if for_programs(request):
        return as_json(found)
    return page(request, "roles/index.html", roles=found)


async def blank(request: Request) -> Response:
    """The form of a new one."""
    return _form(request, None, "", [Right.SEE])


async def create(request: Request) -> Response:
    """Make the posted role."""
    fields, identity, box = await posted(request), identity_of(request), request.app.state.box
    name, rights = fields.one("name"), fields.all("rights")
    giver = granting.as_administrator(identity)
    try:
        name = await roles.make(box, name, rights=rights, actor=identity.actor, giver=giver)
    except _REFUSALS as error:
        if for_programs(request):
            raise
        return _form(request, None, name, rights, error)
    return done(request, "/roles", resource=await roles.role(box, name), status=201)


async def show(request: Request) -> Response:
    """One role and what it may."""
    role = await _one(request)
    if for_programs(request):
        return as_json(role)
    return _form(request, role, role.name, role.rights)


async def change(request: Request) -> Response:
    """Let a role have the posted rights."""
    fields, identity, role = await posted(request), identity_of(request), await _one(request)
    box, rights = request.app.state.box, fields.all("rights")
    giver = granting.as_administrator(identity)
    try:
        await roles.change(box, role.name, rights=rights, actor=identity.actor, giver=giver)
    except _REFUSALS as error:
        if for_programs(request):
            raise
        return _form(request, role, role.name, rights, error)
    return done(request, "/roles", resource=await _one(request))


async def confirm(request: Request) -> Response:
    """Whether to delete a role."""
    return page(request, "roles/delete.html", role=await _one(request))


async def delete(request: Request) -> Response:
    """Delete a role that nobody has."""
    identity, name = identity_of(request), request.path_params["name"]
    giver = granting.as_administrator(identity)
    await roles.delete(request.app.state.box, name, actor=identity.actor, giver=giver)
    return done(request, "/roles")


async def _one(request: Request) -> Role:
    return await roles.role(request.app.state.box, request.path_params["name"])


def _form(
    request: Request, role: Role | None, name: str, rights: list[str], error: Exception | None = None
) -> Response:
    giver = granting.as_administrator(identity_of(request))
    return page(
        request,
        "roles/show.html",
        role=role,
        name=name,
        ticked=rights,
        # What is there stays to be taken away; what may not be given is not offered.
        rights={one: MEANING[one] for one in Right if one in giver.rights or one in rights},
        message="" if error is None else str(error),
        status=200 if error is None else 422,
    )


ROUTES: list[BaseRoute] = [
    Route("/roles", index, methods=["GET"], name="roles"),
    Route("/roles.json", index, methods=["GET"]),
    Route("/roles", create, methods=["POST"]),
    Route("/roles/new", blank, methods=["GET"], name="role_new"),
    Route("/roles/{name}.json", show, methods=["GET"]),
    Route("/roles/{name}", show, methods=["GET"], name="role"),
    Route("/roles/{name}", change, methods=["POST"]),
    Route("/roles/{name}", delete, methods=["DELETE"]),
    Route("/roles/{name}/delete", confirm, methods=["GET"], name="role_delete"),
    Route("/roles/{name}/delete", delete, methods=["POST"]),
]
