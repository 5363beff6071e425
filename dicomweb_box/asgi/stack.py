"""What stands before the routes, outermost first; `app` puts it there."""

from starlette.middleware import Middleware

from dicomweb_box.asgi.authentication import Authentication
from dicomweb_box.asgi.errors import ErrorAnswers, ErrorPage
from dicomweb_box.asgi.headers import AnswerHeaders, CrossOrigin
from dicomweb_box.asgi.limits import STALL_SECONDS, StalledBodies, WellFormed
from dicomweb_box.asgi.same_origin import SameOrigin
from dicomweb_box.settings import Settings


def middleware(
    settings: Settings, *, page: ErrorPage | None = None, stall_seconds: float = STALL_SECONDS
) -> list[Middleware]:
    """The middleware of one server; `page` words errors for people."""
    cross_origin = [Middleware(CrossOrigin, origins=settings.cors_origins)] if settings.cors_origins else []
    return [
        *cross_origin,
        Middleware(AnswerHeaders),
        Middleware(ErrorAnswers, page=page),
        Middleware(
            SameOrigin,
            public_url=settings.public_url,
            allowed_origins=settings.cors_origins,
            loopback_only=settings.no_auth,
        ),
        Middleware(WellFormed),
        Middleware(Authentication, no_auth=settings.no_auth),
        Middleware(StalledBodies, seconds=stall_seconds),
    ]
