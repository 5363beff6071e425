"""Pages: the list of series of all studies, and one series with its instances; each with its JSON twin."""

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dicomweb_box.archive import browse, browse_instances, disagreements, opaque
from dicomweb_box.archive.browse import Ask, Entry
from dicomweb_box.archive.browse_instances import Page
from dicomweb_box.archive.missing import missing
from dicomweb_box.asgi.identity import identify
from dicomweb_box.errors import BadQuery, NotFound
from dicomweb_box.web import labels, listing, ohif, words
from dicomweb_box.web.actions import offered
from dicomweb_box.web.page import page
from dicomweb_box.web.selected import selected
from dicomweb_box.web.targets import Targets
from dicomweb_box.web.twins import as_json, for_programs

PAGE_SIZE = 100
_PLACE = "place among instances"


async def index(request: Request) -> Response:
    """The series that match, a page at a time."""
    return await listing.answer(request, "series", "/series", more={"heading": "Series"})


async def show(request: Request) -> Response:
    """One series with its instances; NotFound where there is none that this actor may see."""
    study_uid, series_uid = request.path_params["study_uid"], request.path_params["series_uid"]
    series = await _entry(request, study_uid, series_uid)
    found = await _instances(request, study_uid, series_uid)
    newer, older = await _ways(request, found)
    if for_programs(request):
        return as_json(_resource(series, found, newer, older))
    box = request.app.state.box
    actor, scope = identify(request)
    differing = await disagreements.of_study(box, study_uid, scope=scope, actor=actor)
    target = f"{study_uid}/{series_uid}"
    return page(
        request,
        "series/show.html",
        series=series,
        facts=_facts(series),
        address=f"/studies/{study_uid}/series/{series_uid}",
        target=target,
        instances=found.instances,
        newer=newer,
        older=older,
        differing=differing.series.get(series_uid, ()),
        labels=(await labels.of_study(request, study_uid)).get((study_uid, series_uid), ()),
        selection=await selected(request),
        actions=offered("series", Targets(series=((study_uid, series_uid),)).query),
        viewer=ohif.address(study_uid) if await ohif.installed(request) else None,
    )


async def _entry(request: Request, study_uid: str, series_uid: str) -> Entry:
    actor, scope = identify(request)
    keys = (("StudyInstanceUID", study_uid), ("SeriesInstanceUID", series_uid))
    ask = Ask(level="series", keys=keys, limit=1)
    found = await browse.listed(request.app.state.box, ask, scope=scope, actor=actor)
    if not found.entries:
        raise await missing(
            request.app.state.box, "there is no such series", study_uid, series_uid, scope=scope
        )
    return found.entries[0]


async def _instances(request: Request, study_uid: str, series_uid: str) -> Page:
    actor, scope = identify(request)
    box = request.app.state.box
    given = {name: request.query_params.get(name, "") for name in ("after", "before")}
    sealed = given["after"] or given["before"]
    try:
        place = tuple(orjson.loads(await opaque.unseal(box, _PLACE, sealed))) if sealed else None
    except NotFound:
        raise BadQuery("The address names no place in this list; begin with its first page.") from None
    return await browse_instances.page(
        box,
        study_uid,
        series_uid,
        place=place,
        backwards=bool(given["before"]) and not given["after"],
        limit=PAGE_SIZE,
        scope=scope,
        actor=actor,
    )


async def _ways(request: Request, found: Page) -> tuple[str | None, str | None]:
    path = request.url.path

    async def way(name: str, place: Sequence[Any]) -> str:
        sealed = await opaque.seal(request.app.state.box, _PLACE, orjson.dumps(place).decode())
        return f"{path}?{name}={sealed}"

    if not found.instances:
        return (path if found.before or found.behind else None), None
    newer = await way("before", found.instances[0].place) if found.before else None
    older = await way("after", found.instances[-1].place) if found.behind else None
    return newer, older


def _facts(series: Entry) -> dict[str, Any]:
    row = series.series or {}
    return {
        "description": words.first(row, "0008103E"),
        "number": words.first(row, "00200011"),
        "date": words.first(row, "00400244"),
        "time": words.first(row, "00400245"),
        "patient_name": words.first(series.study, "00100010"),
        "study_date": words.first(series.study, "00080020"),
        "study_time": words.first(series.study, "00080030"),
        "study_description": words.first(series.study, "00081030"),
    }


def _resource(series: Entry, found: Page, newer: str | None, older: str | None) -> dict[str, Any]:
    return {
        "study_uid": series.study_uid,
        "series_uid": series.series_uid,
        "study": series.study,
        "series": series.series,
        "instance_count": series.instance_count,
        "size": series.size,
        "instances": [
            {
                "instance_uid": one.instance_uid,
                "number": one.number,
                "sop_class_uid": one.sop_class_uid,
                "transfer_syntax_uid": one.transfer_syntax_uid,
                "rows": one.rows,
                "columns": one.columns,
                "frames": one.frames,
                "size": one.size,
            }
            | ({"stored_at": one.stored_at} if one.stored_at else {})
            for one in found.instances
        ],
        "newer": newer,
        "older": older,
    }


ROUTES = [
    Route("/series", index, name="series_list"),
    Route("/series.json", index, name="series_list_json"),
    Route("/studies/{study_uid}/series/{series_uid}.json", show, name="series_json"),
    Route("/studies/{study_uid}/series/{series_uid}", show, name="series"),
]
