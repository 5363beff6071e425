"""The ASGI application: the one place where the HTTP doors are wired."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from dicomweb_box.asgi.errors import handlers
from dicomweb_box.asgi.guard import guarded
from dicomweb_box.asgi.stack import middleware
from dicomweb_box.box import Box, open_box
from dicomweb_box.dicomweb import proxy, wado_uri
from dicomweb_box.dicomweb.routes import routes as dicomweb_routes
from dicomweb_box.settings import Settings
from dicomweb_box.tls import Certificate
from dicomweb_box.web.problems import error_page
from dicomweb_box.web.routes import routes as web_routes
from dicomweb_box.web.tally import Counted, Tally

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def build(settings: Settings) -> Starlette:
    """The application for any ASGI server: it opens the box when started and closes it at the end."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_box(settings) as box:
            _wire(app, box)
            yield

    return _application(settings, Tally(), lifespan, None)


def assemble(box: Box, tally: Tally | None = None, certificate: Certificate | None = None) -> Starlette:
    """The application over a box that is open already; whoever opened it closes it."""
    app = _application(box.settings, tally or Tally(), None, certificate)
    _wire(app, box)
    return app


def _application(
    settings: Settings, tally: Tally, lifespan: Lifespan | None, certificate: Certificate | None
) -> Starlette:
    before = middleware(settings, page=error_page, certificate=certificate)
    app = Starlette(
        lifespan=lifespan,
        middleware=[Middleware(Counted, tally=tally), *before],
        exception_handlers=handlers(error_page),
    )
    app.state.tally = tally
    return app


def _wire(app: Starlette, box: Box) -> None:
    app.state.box = box
    # The busiest door first: routes are tried in their order.
    app.router.routes[:] = [
        Mount("/dicom-web", routes=[*dicomweb_routes(box), proxy.mounted()]),
        *wado_uri.ROUTES,
        *web_routes(),
    ]
    guarded(app.router.routes)
