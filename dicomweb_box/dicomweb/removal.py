"""DELETE of studies, series and instances at their DICOMweb addresses, which the standard leaves open."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive.remove import remove
from dicomweb_box.asgi.identity import identify


async def delete(request: Request) -> Response:
    """204 when it is gone; 404 where there is nothing that this actor may see, so also the second time."""
    actor, scope = identify(request)
    uids = request.path_params
    await remove(
        request.app.state.box,
        uids["study"],
        uids.get("series"),
        uids.get("instance"),
        scope=scope,
        actor=actor,
    )
    return Response(status_code=204)


ROUTES: list[BaseRoute] = [
    Route("/studies/{study}", delete, methods=["DELETE"]),
    Route("/studies/{study}/series/{series}", delete, methods=["DELETE"]),
    Route("/studies/{study}/series/{series}/instances/{instance}", delete, methods=["DELETE"]),
]
