"""The audit, for who may read it: searched, page by page, and as a table for a spreadsheet."""

import csv
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import fields
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts import audit_search
from dicomweb_box.accounts.audit_search import FILTERS, Asked, Told, moment_of
from dicomweb_box.accounts.audit_words import OUTCOMES, Action
from dicomweb_box.asgi.identity import identity_of
from dicomweb_box.errors import BadQuery, Forbidden
from dicomweb_box.web.page import HEADERS, page
from dicomweb_box.web.twins import as_json, for_programs

_NAMES = ("since", "until", *FILTERS)
_COLUMNS = tuple(field.name for field in fields(Told))
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def show(request: Request) -> Response:
    """The rows that fit, the latest first; 422 with the form where it asks for what cannot be."""
    _require_whole(request)
    given = {name: request.query_params.get(name, "").strip() for name in _NAMES}
    before, box = request.query_params.get("before", ""), request.app.state.box
    found, message = audit_search.Page(rows=(), older=""), ""
    try:
        found = await audit_search.search(box, _asked(given), before=before)
    except BadQuery as error:
        if for_programs(request):
            raise
        message = str(error)
    if for_programs(request):
        return as_json(found)
    used = {name: value for name, value in given.items() if value}
    return page(
        request,
        "audit/index.html",
        status=422 if message else 200,
        given=given,
        used=used,
        message=message,
        found=found,
        query=urlencode(used),
        older=urlencode(used | {"before": found.older}) if found.older else "",
        actions=[action.value for action in Action],
        outcomes=OUTCOMES,
        actors=await audit_search.actors(box),
        before=before,
    )


async def table(request: Request) -> Response:
    """All rows that fit as comma-separated values (RFC 4180), sent while they are read."""
    _require_whole(request)
    asked = _asked({name: request.query_params.get(name, "").strip() for name in _NAMES})
    audit_search.checked(asked)
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="audit.csv"'}
    rows = _written(request, asked)
    return StreamingResponse(rows, media_type="text/csv; charset=utf-8", headers=headers)


def _require_whole(request: Request) -> None:
    if not identity_of(request).scope.whole:
        raise Forbidden("The audit tells of the whole archive: it is for those who see all of it.")


def _asked(given: dict[str, str]) -> Asked:
    """Raises BadQuery for a time that is none."""
    times = {"since": moment_of(given["since"]), "until": moment_of(given["until"], end=True)}
    return Asked(**(given | times))


async def _written(request: Request, asked: Asked) -> AsyncIterator[bytes]:
    yield _lines([_COLUMNS])
    async for rows in audit_search.every(request.app.state.box, asked):
        yield _lines([[_cell(getattr(row, name)) for name in _COLUMNS] for row in rows])


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    made = io.StringIO(newline="")
    csv.writer(made).writerows(rows)
    return made.getvalue().encode()


def _cell(value: Any) -> str:
    text = orjson.dumps(value).decode() if isinstance(value, dict) else str(value)
    # What begins like a formula is one to a spreadsheet, whatever quotes are around it.
    return f"'{text}" if text.startswith(_FORMULA) else text


ROUTES: list[BaseRoute] = [
    Route("/audit", show, methods=["GET"], name="audit"),
    Route("/audit.json", show, methods=["GET"]),
    Route("/audit.csv", table, methods=["GET"]),
]
