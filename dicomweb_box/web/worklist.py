"""The worklist, for who schedules: what is to be done, a new step, and one with its form."""

from dataclasses import asdict, fields, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import worklist
from dicomweb_box.archive.worklist import Scheduled
from dicomweb_box.asgi.identity import identify
from dicomweb_box.dicom import attributes
from dicomweb_box.dicom.scheduled_step import STATUSES, BadStep, Status, Step
from dicomweb_box.errors import BadRequest, Conflict
from dicomweb_box.web.forms import Fields, posted
from dicomweb_box.web.page import page
from dicomweb_box.web.twins import as_json, done, for_programs

_NAMES = tuple(one.name for one in fields(Step))
_EMPTY = Step(**dict.fromkeys(_NAMES, ""))
_REFUSALS = (BadStep, Conflict)


async def index(request: Request) -> Response:
    """The steps that are open, or those of a day."""
    actor, scope = identify(request)
    day = _day(request)
    found = await worklist.page(request.app.state.box, day=day, scope=scope, actor=actor)
    if for_programs(request):
        return as_json({"steps": [_resource(one) for one in found.steps], "more": found.more})
    return page(request, "worklist/index.html", steps=found.steps, more=found.more, day=day)


async def blank(request: Request) -> Response:
    """The form of a new one."""
    _, scope = identify(request)
    worklist.require_whole(scope)
    return _form(request, None, asdict(_EMPTY))


async def create(request: Request) -> Response:
    """Put the posted step on the worklist."""
    given = await posted(request)
    actor, scope = identify(request)
    try:
        made = await worklist.add(request.app.state.box, _told(given, _EMPTY), scope=scope, actor=actor)
    except _REFUSALS as error:
        if for_programs(request):
            raise
        return _form(request, None, _typed(given), error)
    return done(request, f"/worklist/{made.id}", resource=_resource(made), status=201)


async def show(request: Request) -> Response:
    """One step."""
    found = await _one(request)
    if for_programs(request):
        return as_json(_resource(found))
    return _form(request, found, asdict(found.step))


async def change(request: Request) -> Response:
    """Let a step be as it is posted; what is left out stays."""
    found, given = await _one(request), await posted(request)
    actor, scope = identify(request)
    try:
        changed = await worklist.change(
            request.app.state.box,
            found.id,
            _told(given, found.step),
            _status(given, found),
            scope=scope,
            actor=actor,
        )
    except _REFUSALS as error:
        if for_programs(request):
            raise
        return _form(request, found, _typed(given), error)
    return done(request, f"/worklist/{changed.id}", resource=_resource(changed))


async def confirm(request: Request) -> Response:
    """Whether to take a step off the worklist."""
    return page(request, "worklist/remove.html", scheduled=await _one(request))


async def remove(request: Request) -> Response:
    """Take a step off the worklist."""
    actor, scope = identify(request)
    await worklist.remove(request.app.state.box, request.path_params["id"], scope=scope, actor=actor)
    return done(request, "/worklist")


async def _one(request: Request) -> Scheduled:
    actor, scope = identify(request)
    return await worklist.by_id(request.app.state.box, request.path_params["id"], scope=scope, actor=actor)


def _day(request: Request) -> str:
    given = request.query_params.get("day", "").strip()
    found = attributes.date(given.replace("-", ""))
    if given and not found:
        raise BadRequest("day is a day as 2026-01-05.")
    return found


def _told(given: Fields, before: Step) -> Step:
    return replace(before, **{name: given.one(name) for name in _NAMES if name in given.values})


def _status(given: Fields, before: Scheduled) -> Status:
    status = given.one("status").upper() or before.status
    if status not in STATUSES:
        raise BadStep("status", f"The status is one of {', '.join(STATUSES)}.")
    return status


def _typed(given: Fields) -> dict[str, str]:
    """The form as it was filled."""
    return {name: (given.values.get(name) or [""])[-1] for name in _NAMES}


def _resource(found: Scheduled) -> dict[str, Any]:
    """A step for programs."""
    about = {"id": found.id, "status": found.status, "made_at": found.made_at, "changed_at": found.changed_at}
    return about | asdict(found.step)


def _form(
    request: Request, found: Scheduled | None, values: dict[str, str], error: Exception | None = None
) -> Response:
    field = error.field if isinstance(error, BadStep) else "step_id"
    return page(
        request,
        "worklist/show.html" if found else "worklist/new.html",
        scheduled=found,
        values=values,
        statuses=STATUSES,
        messages={} if error is None else {field: str(error)},
        status=200 if error is None else 422,
    )


ROUTES: list[BaseRoute] = [
    Route("/worklist", index, methods=["GET"], name="worklist"),
    Route("/worklist.json", index, methods=["GET"]),
    Route("/worklist", create, methods=["POST"]),
    Route("/worklist/new", blank, methods=["GET"], name="worklist_new"),
    Route("/worklist/{id}.json", show, methods=["GET"]),
    Route("/worklist/{id}", show, methods=["GET"], name="worklist_step"),
    Route("/worklist/{id}", change, methods=["POST"]),
    Route("/worklist/{id}", remove, methods=["DELETE"]),
    Route("/worklist/{id}/remove", confirm, methods=["GET"], name="worklist_remove"),
    Route("/worklist/{id}/remove", remove, methods=["POST"]),
]
