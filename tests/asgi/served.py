"""A small application behind the real middleware, for the tests of it."""

from collections.abc import Awaitable, Callable

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dicomweb_box.asgi.errors import ErrorPage, handlers
from dicomweb_box.asgi.stack import middleware
from dicomweb_box.settings import Settings

Handler = Callable[[Request], Awaitable[Response]]


def app_of(
    *handlers_by_path: tuple[str, Handler],
    settings: Settings | None = None,
    page: ErrorPage | None = None,
    stall_seconds: float = 60,
) -> Starlette:
    """The handlers at their paths, behind what every request of the box passes."""
    routes = [Route(path, handler, methods=["GET", "POST", "DELETE"]) for path, handler in handlers_by_path]
    return Starlette(
        routes=routes,
        middleware=middleware(settings or Settings(no_auth=True), page=page, stall_seconds=stall_seconds),
        exception_handlers=handlers(page),
    )


def client_of(app: Starlette, base_url: str = "http://localhost:8080") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url)


async def fine(request: Request) -> Response:
    return Response("fine", media_type="text/plain")
