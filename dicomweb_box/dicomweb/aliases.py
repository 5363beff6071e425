"""Addresses that the standard does not have and clients still ask for: redirects to where the resource is."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive import places
from dicomweb_box.asgi.identity import identify
from dicomweb_box.dicomweb.retrieval import path_of


async def series(request: Request) -> Response:
    """GET /series/{series} and what is below it."""
    actor, scope = identify(request)
    uid = request.path_params["series"]
    study_uid, _ = await places.of_series(request.app.state.box, uid, scope=scope, actor=actor)
    return _moved(request, "studies", study_uid, "series", uid)


async def instance(request: Request) -> Response:
    """GET /instances/{instance} and what is below it."""
    actor, scope = identify(request)
    uid = request.path_params["instance"]
    study_uid, series_uid = await places.of_instance(request.app.state.box, uid, scope=scope, actor=actor)
    return _moved(request, "studies", study_uid, "series", series_uid, "instances", uid)


async def patients(request: Request) -> Response:
    """GET /patients: a patient is what the studies say of him."""
    return _moved(request, "studies")


def _moved(request: Request, *names: str) -> Response:
    """307, since the place may change: the method stays, and with it the query (RFC 9110 15.4.8)."""
    rest = request.path_params.get("rest", "").rstrip("/")
    location = path_of(request, *names, *([quote(rest)] if rest else []))
    if query := request.scope["query_string"].decode("latin-1"):
        location += f"?{query}"
    return Response(status_code=307, headers={"Location": location, "Cache-Control": "private, no-cache"})


ROUTES: list[BaseRoute] = [
    Route("/series/{series}", series),
    Route("/series/{series}/{rest:path}", series),
    Route("/instances/{instance}", instance),
    Route("/instances/{instance}/{rest:path}", instance),
    Route("/patients", patients),
]
