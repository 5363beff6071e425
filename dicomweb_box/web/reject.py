"""Pages: what a rejection would take, and rejecting it; what is rejected, and restoring or erasing it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import rejected
from dicomweb_box.archive.going import Going, going
from dicomweb_box.archive.reject import MOST_NOTE, REASONS, Why, reject
from dicomweb_box.archive.rejected import Rejection
from dicomweb_box.archive.restore import restore
from dicomweb_box.asgi.identity import identify
from dicomweb_box.errors import BadRequest, NotFound
from dicomweb_box.web.aims import Aims, aims
from dicomweb_box.web.confirming import confirmed
from dicomweb_box.web.forms import Fields, posted
from dicomweb_box.web.page import page
from dicomweb_box.web.targets import asked
from dicomweb_box.web.twins import as_json, done, for_programs


async def ask(request: Request) -> Response:
    """What would be hidden, and the form that asks why."""
    return await _form(request, await aims(request, asked(request)))


async def take(request: Request) -> Response:
    """Reject it; people are led to the list of what is rejected."""
    fields = await posted(request)
    actor, scope = identify(request)
    meant = await aims(request, fields)
    try:
        why = Why(reason=fields.one("reason"), note=fields.one("note"))
    except BadRequest as error:
        return await _form(request, meant, fields, str(error))
    made, gone = [], None
    for target in meant.targets:
        try:
            made.append(await reject(request.app.state.box, target, why, scope=scope, actor=actor))
        except NotFound as error:  # one of several that somebody else took meanwhile
            gone = error
    if not made and gone is not None:
        raise gone
    return done(request, "/rejected", resource={"rejected": made})


async def index(request: Request) -> Response:
    """What is rejected now, latest first."""
    actor, scope = identify(request)
    given = asked(request)
    study, after = given.one("study") or None, given.one("after")
    found = await rejected.listed(
        request.app.state.box, study_uid=study, after=after, scope=scope, actor=actor
    )
    if for_programs(request):
        return as_json({"rejected": [_plain(one) for one in found.rejections], "older": found.older})
    return page(
        request,
        "care/rejected.html",
        rejections=found.rejections,
        older=found.older,
        study=study,
        reasons=REASONS,
        retention=request.app.state.box.settings.reject_retention,
    )


async def bring_back(request: Request) -> Response:
    """Restore what one act rejected; people are led to the study."""
    actor, scope = identify(request)
    box, rejection_id = request.app.state.box, request.path_params["id"]
    found = await rejected.one(box, rejection_id, scope=scope, actor=actor)
    count = await restore(box, rejection_id, scope=scope, actor=actor)
    return done(request, f"/studies/{found.study_uid}", resource={"restored": count})


async def ask_erase(request: Request) -> Response:
    """What of it would be erased for good, and the form that asks for a confirmation."""
    actor, scope = identify(request)
    found = await rejected.one(request.app.state.box, request.path_params["id"], scope=scope, actor=actor)
    return _erase_form(request, found)


async def erase(request: Request) -> Response:
    """Erase what one act rejected, now and for good."""
    fields = await posted(request)
    actor, scope = identify(request)
    box, rejection_id = request.app.state.box, request.path_params["id"]
    found = await rejected.one(box, rejection_id, scope=scope, actor=actor)
    message = confirmed(fields, found.instances)
    if message is not None:
        return _erase_form(request, found, fields, message)
    count = await rejected.erase(box, rejection_id, scope=scope, actor=actor)
    return done(request, "/rejected", resource={"erased": count})


async def _form(
    request: Request, meant: Aims, fields: Fields | None = None, message: str | None = None
) -> Response:
    actor, scope = identify(request)
    box = request.app.state.box
    if message is not None and for_programs(request):
        return as_json({"error": message}, 422)
    found: Going = await going(box, meant.targets, scope=scope, actor=actor)
    if for_programs(request):
        return as_json({"going": found, "reasons": REASONS})
    return page(
        request,
        "care/reject.html",
        status=200 if message is None else 422,
        going=found,
        aims=meant,
        reasons=REASONS,
        reason=fields.one("reason") if fields is not None else "",
        note=fields.one("note") if fields is not None else "",
        most_note=MOST_NOTE,
        message=message,
        retention=box.settings.reject_retention,
    )


def _erase_form(
    request: Request, found: Rejection, fields: Fields | None = None, message: str | None = None
) -> Response:
    if for_programs(request):
        return as_json({"error": message}, 422) if message is not None else as_json(_plain(found))
    return page(
        request,
        "care/erase_rejected.html",
        status=200 if message is None else 422,
        one=found,
        reasons=REASONS,
        message=message,
        confirm=fields.one("confirm") if fields is not None else "",
    )


def _plain(one: Rejection) -> dict[str, Any]:
    return {
        **{name: getattr(one, name) for name in Rejection.__dataclass_fields__},
        "meaning": REASONS.get(one.reason, ""),
    }


_INSTANCE = "/studies/{study_uid}/series/{series_uid}/instances/{instance_uid}/reject"
ROUTES: list[BaseRoute] = [
    *[
        route
        for address in (
            "/reject",
            "/studies/{study_uid}/reject",
            "/studies/{study_uid}/series/{series_uid}/reject",
            _INSTANCE,
        )
        for route in (
            Route(address, ask, methods=["GET"]),
            Route(f"{address}.json", ask, methods=["GET"]),
            Route(address, take, methods=["POST"]),
        )
    ],
    Route("/rejected", index, methods=["GET"], name="rejected"),
    Route("/rejected.json", index, methods=["GET"]),
    Route("/rejected/{id}/restore", bring_back, methods=["POST"]),
    Route("/rejected/{id}/erase", ask_erase, methods=["GET"]),
    Route("/rejected/{id}/erase.json", ask_erase, methods=["GET"]),
    Route("/rejected/{id}/erase", erase, methods=["POST"]),
]
