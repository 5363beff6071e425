"""What stands before the routes, outermost first; `app` puts it there."""

from ipaddress import ip_network

from starlette.middleware import Middleware

from dicomweb_box.asgi.authentication import Authentication
from dicomweb_box.asgi.errors import ErrorAnswers, ErrorPage
from dicomweb_box.asgi.headers import AnswerHeaders, CrossOrigin
from dicomweb_box.asgi.hosts import Hosts
from dicomweb_box.asgi.limits import STALL_SECONDS, StalledBodies, WellFormed
from dicomweb_box.asgi.proxies import TrustedProxies
from dicomweb_box.asgi.same_origin import SameOrigin
from dicomweb_box.asgi.shares import FairShares, KeyOf, by_address, by_identity
from dicomweb_box.settings import Settings
from dicomweb_box.tls import Certificate


def middleware(
    settings: Settings,
    *,
    page: ErrorPage | None = None,
    certificate: Certificate | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> list[Middleware]:
    """The middleware of one server; `page` words errors for people."""
    cross_origin = [Middleware(CrossOrigin, origins=settings.cors_origins)] if settings.cors_origins else []
    return [
        *_proxies(settings),
        *cross_origin,
        Middleware(AnswerHeaders, secure=(settings.public_url or "").startswith("https://")),
        Middleware(ErrorAnswers, page=page),
        Middleware(
            SameOrigin,
            public_url=settings.public_url,
            allowed_origins=settings.cors_origins,
            hosts=Hosts(
                public_url=settings.public_url,
                allowed=settings.allowed_hosts,
                certified=(lambda: certificate.names) if certificate else None,
            ),
        ),
        Middleware(WellFormed),
        *_shares(settings, by_address),
        Middleware(Authentication, no_auth=settings.no_auth),
        *_shares(settings, by_identity),
        Middleware(StalledBodies, seconds=stall_seconds),
    ]


def _proxies(settings: Settings) -> list[Middleware]:
    if not settings.trusted_proxies:
        return []
    trusted = tuple(map(ip_network, settings.trusted_proxies))
    return [Middleware(TrustedProxies, trusted=trusted, header=settings.forwarded_header)]


def _shares(settings: Settings, key_of: KeyOf) -> list[Middleware]:
    if settings.no_auth:  # this machine alone asks, by whatever number of connections its tools have
        return []
    limits = {"at_once": settings.client_requests, "rate": settings.client_rate}
    return [Middleware(FairShares, key_of=key_of, **limits)]
