"""Selections: what somebody ticked on many pages, to do one thing with all of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dicomweb_box.archive import browse, patients, selection_summary, selection_zip, selections
from dicomweb_box.archive.selections import NONE, Members
from dicomweb_box.asgi.blob_response import BlobResponse
from dicomweb_box.asgi.identity import identify
from dicomweb_box.errors import BadRequest
from dicomweb_box.web.actions import offered
from dicomweb_box.web.forms import Fields, posted
from dicomweb_box.web.page import page, wants_fragment
from dicomweb_box.web.selected import of, remember, selected
from dicomweb_box.web.targets import Targets, asked, named, targets
from dicomweb_box.web.twins import as_json, done, for_programs
from dicomweb_box.web.views import Level, ask_of, open_view, view_of


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
    box = request.app.state.box
    found = await selection_summary.summary(box, key, scope=scope, actor=actor)
    if for_programs(request):
        held = await selections.members(box, key, scope=scope, actor=actor)
        return as_json(_resource(key, held) | {"summary": found})
    return page(
        request,
        "selections/show.html",
        key=key,
        summary=found,
        actions=offered("selection", Targets(selection=key).query),
    )


async def download(request: Request) -> Response:
    """Studies and series as one ZIP archive of instances as they were stored."""
    actor, scope = identify(request)
    box = request.app.state.box
    found = await targets(request, asked(request))
    members = Members(studies=found.studies, series=found.series)
    if request.method != "HEAD":
        await selection_zip.tell(box, members, actor=actor)
    body = selection_zip.archive(box, members, scope=scope, actor=actor)
    name = found.studies[0] if len(found.studies) == 1 and not found.series else "selection"
    headers = [("Content-Disposition", f'attachment; filename="{name}.zip"')]
    answer = BlobResponse(
        box, body, content_type="application/zip", headers=headers, cache_control="no-store"
    )
    return cast(Response, answer)


async def add(request: Request) -> Response:
    """Put the posted studies and series into a selection."""
    return await _changed(request, add=named(await posted(request)))


async def take_out(request: Request) -> Response:
    """Take the posted studies and series out of a selection."""
    return await _changed(request, take_out=named(await posted(request)))


async def clear(request: Request) -> Response:
    """Forget a selection; what it held stays as it is."""
    actor, scope = identify(request)
    fields = await posted(request)
    await selections.forget(request.app.state.box, request.path_params["id"], scope=scope, actor=actor)
    return done(request, _back(fields))


async def tick(request: Request) -> Response:
    """Make the browser's selection what its page shows ticked: of what was shown, the rest is taken out.

    Without `shown` the posted studies and series are added. `every=page` adds all that was shown,
    `every=match` all that match the list that `back` leads to, as many as are listed at once.
    """
    fields = await posted(request)
    ticked, shown = named(fields), _shown(fields)
    if fields.one("every") == "page":
        ticked = shown
    elif fields.one("every") == "match":
        ticked = await _matching(request, fields.one("back"))
    actor, scope = identify(request)
    box, before = request.app.state.box, await selected(request)
    gone = Members(
        studies=tuple(uid for uid in shown.studies if uid not in ticked.studies and uid in before.studies),
        series=tuple(
            pair for pair in shown.series if pair not in ticked.series and "/".join(pair) in before.series
        ),
    )
    key = before.key
    if key is None:
        key = await selections.make(box, ticked, scope=scope, actor=actor)
    else:
        await selections.change(box, key, add=ticked, take_out=gone, scope=scope, actor=actor)
    found = await selections.members(box, key, scope=scope, actor=actor)
    if wants_fragment(request):
        answer = page(
            request, "lists/selection.html", fragment="bar", selection=of(key, found), back=_back(fields)
        )
    else:
        answer = done(request, _back(fields), resource=_resource(key, found))
    remember(request, answer, key)
    return answer


def _shown(fields: Fields) -> Members:
    pairs = [tuple(text.split("/", 1)) for text in fields.all("shown")]
    return Members(
        studies=tuple(pair[0] for pair in pairs if len(pair) == 1),
        series=tuple((pair[0], pair[1]) for pair in pairs if len(pair) == 2),
    )


_LISTS: Mapping[str, Level] = {"/studies": "study", "/series": "series"}


async def _matching(request: Request, address: str) -> Members:
    """The first studies or series of a list, by its address; BadRequest for an address of none."""
    parts = urlsplit(address)
    if "%00" in parts.query:
        raise BadRequest("back holds a NUL character.")
    level, patient = _LISTS.get(parts.path), None
    box = request.app.state.box
    if parts.path.startswith("/patients/"):
        level, patient = "study", await patients.identity(box, parts.path.removeprefix("/patients/"))
    if level is None:
        raise BadRequest("back is not the address of a list.")
    view = replace(view_of(level, parts.path, parse_qsl(parts.query)).first(), patient=patient)
    actor, scope = identify(request)
    if not scope.identities:
        view = open_view(view, ordered="orderby=" in parts.query)
    ask = replace(await ask_of(box, view), limit=browse.FEW)
    found = (await browse.listed(box, ask, scope=scope, actor=actor)).entries
    if level == "study":
        return Members(studies=tuple(one.study_uid for one in found))
    return Members(series=tuple((one.study_uid, one.series_uid or "") for one in found))


def _back(fields: Fields) -> str:
    """The page of our own that the form names."""
    named = fields.one("back")
    safe = named.startswith("/") and not named.startswith(("//", "/\\"))
    return named if safe else "/studies"


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
    Route("/download", download, methods=["GET"], name="download"),
    Route("/selection", tick, methods=["POST"], name="selection_tick"),
    Route("/selections", create, methods=["POST"], name="selections"),
    Route("/selections/{id}.json", show, name="selection_json"),
    Route("/selections/{id}", show, methods=["GET"], name="selection"),
    Route("/selections/{id}", clear, methods=["DELETE"]),
    Route("/selections/{id}/clear", clear, methods=["POST"], name="selection_clear"),
    Route("/selections/{id}/members", add, methods=["POST"], name="selection_add"),
    Route("/selections/{id}/members/remove", take_out, methods=["POST"], name="selection_remove"),
]
