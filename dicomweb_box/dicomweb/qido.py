"""QIDO-RS: search for studies, series and instances (PS3.18 10.6), and count them."""

from collections.abc import Sequence
from typing import cast

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import query as archive
from dicomweb_box.archive.query import Page
from dicomweb_box.asgi.identity import identify
from dicomweb_box.box import in_thread
from dicomweb_box.dicom.attributes import Level
from dicomweb_box.dicom.matching import Query, from_parameters
from dicomweb_box.dicomweb.answers import JSON, chosen, service_url
from dicomweb_box.dicomweb.retrieval import flag, warning
from dicomweb_box.dicomweb.search_forms import FORMS, represented

_MOST_WARNINGS = 20
_TOTAL = "total"
MORE = "There are 1 or more additional results that can be requested."
"""PS3.18 8.3.4.4.1."""


async def studies(request: Request) -> Response:
    """GET /studies."""
    return await _search(request, "study")


async def series(request: Request) -> Response:
    """GET /series and /studies/{study}/series."""
    return await _search(request, "series")


async def instances(request: Request) -> Response:
    """GET /instances, /studies/{study}/instances and /studies/{study}/series/{series}/instances."""
    return await _search(request, "instance")


async def count_studies(request: Request) -> Response:
    """GET /studies/count."""
    return await _count(request, "study")


async def count_series(request: Request) -> Response:
    """GET /series/count and /studies/{study}/series/count."""
    return await _count(request, "series")


async def count_instances(request: Request) -> Response:
    """GET /instances/count, and within a study or series."""
    return await _count(request, "instance")


async def _search(request: Request, level: Level) -> Response:
    offer = chosen(request, FORMS)
    actor, scope = identify(request)
    query, warnings = _query(request, level)
    box = request.app.state.box
    page = await archive.search(box, query, scope=scope, actor=actor, base=service_url(request))
    if offer == JSON:
        form = represented(page.rows, offer)
    else:
        form = await in_thread(box, represented, page.rows, offer)
    headers = {"ETag": form.etag, "Cache-Control": "private, no-cache", "Vary": "Accept"}
    if flag(request, _TOTAL):
        # Only where it is asked for: counting can cost more than the page.
        headers["X-Total-Count"] = str(await archive.count(box, query, scope=scope, actor=actor))
    if form.etag in request.headers.get("if-none-match", ""):
        response = Response(status_code=304, headers=headers)
    else:
        headers |= {"Content-Type": form.content_type}
        if form.attachment:
            headers |= {"Content-Disposition": f'attachment; filename="{level}.{form.attachment}"'}
        response = Response(form.body, headers=headers)
    warn(response, (*_remaining(query, page), *warnings, *page.warnings))
    return response


async def _count(request: Request, level: Level) -> Response:
    chosen(request, (JSON,))
    actor, scope = identify(request)
    query, warnings = _query(request, level)
    counted = await archive.count(request.app.state.box, query, scope=scope, actor=actor)
    response = Response(orjson.dumps({"count": counted}), media_type="application/json")
    warn(response, warnings)
    return response


def _query(request: Request, level: Level) -> tuple[Query, list[str]]:
    uids = cast(dict[str, str], request.path_params)
    pairs = [pair for pair in request.query_params.multi_items() if pair[0] != _TOTAL]
    return from_parameters(level, pairs, uids)


def _remaining(query: Query, page: Page) -> tuple[str, ...]:
    """The sentence of PS3.18 8.3.4.4.1 where more rows match; counting them would cost more than the page."""
    if not page.more:
        return ()
    if page.limit != query.limit:
        return (f"There are more than {page.limit} results; offset gives the others.",)
    return (MORE,)


def _routes(path: str, search: object, count: object) -> list[Route]:
    # A study or series called "count" has no UID; a literal segment comes first.
    return [Route(f"{path}/count", count), Route(path, search)]  # type: ignore[arg-type]


ROUTES: list[BaseRoute] = [
    *_routes("/studies", studies, count_studies),
    *_routes("/series", series, count_series),
    *_routes("/instances", instances, count_instances),
    *_routes("/studies/{study}/series", series, count_series),
    *_routes("/studies/{study}/instances", instances, count_instances),
    *_routes("/studies/{study}/series/{series}/instances", instances, count_instances),
]


def warn(response: Response, sentences: Sequence[str]) -> None:
    """One Warning header each (PS3.18 8.4.3), but for so many that a client would refuse the answer."""
    for sentence in sentences[:_MOST_WARNINGS]:
        response.headers.append(*warning(sentence))
    if len(sentences) > _MOST_WARNINGS:
        response.headers.append(*warning(f"There are {len(sentences) - _MOST_WARNINGS} more such warnings."))
