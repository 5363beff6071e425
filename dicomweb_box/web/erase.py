"""Pages: what an erasure would take for good, and erasing it."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.archive.going import Going, going
from dicomweb_box.archive.remove import remove
from dicomweb_box.asgi.identity import identify
from dicomweb_box.errors import NotFound
from dicomweb_box.web.aims import Aims, aims
from dicomweb_box.web.confirming import confirmed
from dicomweb_box.web.forms import Fields, posted
from dicomweb_box.web.page import page
from dicomweb_box.web.targets import asked
from dicomweb_box.web.twins import as_json, done, for_programs


async def ask(request: Request) -> Response:
    """What would go for good, and the form that asks for a confirmation."""
    meant = await aims(request, asked(request))
    return _form(request, meant, await _going(request, meant))


async def erase(request: Request) -> Response:
    """Erase it, where the number of instances was typed; people are led to the studies."""
    fields = await posted(request)
    meant = await aims(request, fields)
    found = await _going(request, meant)
    message = confirmed(fields, found.instances)
    if message is not None:
        return _form(request, meant, found, fields, message)
    actor, scope = identify(request)
    erased = 0
    for target in meant.targets:
        try:
            erased += await remove(
                request.app.state.box, *target.uids, scope=scope, actor=actor, most=found.instances - erased
            )
        except NotFound:  # one of several that somebody else took meanwhile
            continue
    return done(request, "/studies", resource={"erased": erased})


async def _going(request: Request, meant: Aims) -> Going:
    actor, scope = identify(request)
    return await going(request.app.state.box, meant.targets, scope=scope, actor=actor)


def _form(
    request: Request, meant: Aims, found: Going, fields: Fields | None = None, message: str | None = None
) -> Response:
    if for_programs(request):
        return as_json({"error": message}, 422) if message is not None else as_json({"going": found})
    return page(
        request,
        "care/erase.html",
        status=200 if message is None else 422,
        going=found,
        aims=meant,
        confirm=fields.one("confirm") if fields is not None else "",
        message=message,
    )


ROUTES: list[BaseRoute] = [
    Route("/erase", ask, methods=["GET"]),
    Route("/erase.json", ask, methods=["GET"]),
    Route("/erase", erase, methods=["POST"]),
]
