"""Selections: what somebody ticked on many pages, to do one thing with all of it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dicomweb_box.archive import selections
from dicomweb_box.archive.selections import NONE, Members
from dicomweb_box.asgi.identity import identify
from dicomweb_box.web.actions import offered
from dicomweb_box.web.forms import posted
from dicomweb_box.web.page import page
from dicomweb_box.web.targets import Targets, named
from dicomweb_box.web.twins import as_json, done, for_programs


async def create(request: Request) -> Response:
    """A new selection of the posted studies and series."""
    actor, scope = identify(request)
    given = named(await posted(request))
    key = await selections.make(request.app.state.box, given, scope=scope, actor=actor)
    return done(request, f"/selections/{key}", resource=_resource(key, given), status=201)


async def show(request: Request) -> Response:
    """What is selected, and what can be done with it."""
    key = request.path_params["id"]
    actor, scope = identify(request)
    found = await selections.members(request.app.state.box, key, scope=scope, actor=actor)
    if for_programs(request):
        return as_json(_resource(key, found))
    actions = offered("selection", Targets(selection=key).query)
    return page(request, "selections/show.html", key=key, members=found, actions=actions)


async def add(request: Request) -> Response:
    """Put the posted studies and series into a selection."""
    return await _changed(request, add=named(await posted(request)))


async def take_out(request: Request) -> Response:
    """Take the posted studies and series out of a selection."""
    return await _changed(request, take_out=named(await posted(request)))


async def clear(request: Request) -> Response:
    """Forget a selection; what it held stays as it is."""
    actor, scope = identify(request)
    await selections.forget(request.app.state.box, request.path_params["id"], scope=scope, actor=actor)
    return done(request, "/studies")


async def _changed(request: Request, *, add: Members = NONE, take_out: Members = NONE) -> Response:
    key, box = request.path_params["id"], request.app.state.box
    actor, scope = identify(request)
    await selections.change(box, key, add=add, take_out=take_out, scope=scope, actor=actor)
    found = await selections.members(box, key, scope=scope, actor=actor)
    return done(request, f"/selections/{key}", resource=_resource(key, found))


def _resource(key: str, found: Members) -> dict[str, object]:
    series = [f"{study}/{series}" for study, series in found.series]
    return {"id": key, "study": list(found.studies), "series": series}


ROUTES = [
    Route("/selections", create, methods=["POST"], name="selections"),
    Route("/selections/{id}.json", show, name="selection_json"),
    Route("/selections/{id}", show, methods=["GET"], name="selection"),
    Route("/selections/{id}", clear, methods=["DELETE"]),
    Route("/selections/{id}/clear", clear, methods=["POST"], name="selection_clear"),
    Route("/selections/{id}/members", add, methods=["POST"], name="selection_add"),
    Route("/selections/{id}/members/remove", take_out, methods=["POST"], name="selection_remove"),
]
