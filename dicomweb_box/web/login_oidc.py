"""Logging in by single sign-on: to the provider, back from it, and out of it."""

import logging

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts import keys, sessions
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit_reads import reads
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.asgi.hosts import is_secure
from dicomweb_box.asgi.identity import address_of
from dicomweb_box.errors import BadSetting, Forbidden, Unauthenticated
from dicomweb_box.web.login import inside, led_on
from dicomweb_box.web.page import HEADERS, page
from dicomweb_box.web.provider import PURPOSE, here, provider_of

log = logging.getLogger(__name__)

COOKIE, SECURE_COOKIE = "dicomweb_box_way", "__Host-dicomweb_box_way"
_SECONDS = 600


async def go(request: Request) -> Response:
    """To the provider; what has to be known when somebody comes back stays sealed in a cookie."""
    onward = inside(request.query_params.get("next", ""))
    try:
        address, sealed = await provider_of(request).begin(
            back=f"{here(request)}/login/oidc/back", onward=onward
        )
    except (Unauthenticated, BadSetting) as error:
        return _refused(request, error, status=503)
    answer = RedirectResponse(address, 303, headers=HEADERS)
    secure = is_secure(request)
    answer.set_cookie(
        SECURE_COOKIE if secure else COOKIE,
        sealed,
        max_age=_SECONDS,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",  # it has to come along when the provider leads back here
    )
    return answer


async def back(request: Request) -> Response:
    """From the provider: 303 with the cookie of a log-in, or the form with what was wrong (401, 403)."""
    from dicomweb_box.accounts import single_sign_on

    box, address = request.app.state.box, address_of(request)
    provider = provider_of(request)
    sealed = request.cookies.get(SECURE_COOKIE) or request.cookies.get(COOKIE) or ""
    try:
        made, proved = await provider.come_back(sealed, request.query_params)
        account = await single_sign_on.account_of(box, proved.claims, address=address)
    except (Unauthenticated, Forbidden, BadSetting) as error:
        reads(box).note(Actor(name="", kind="anonymous", address=address), Action.LOG_IN, "refused")
        return _forgetting(_refused(request, error, status=403 if isinstance(error, Forbidden) else 401))
    agent = request.headers.get("user-agent", "")
    begun = await sessions.begin(box, account, address=address, agent=agent)
    id_token = await keys.seal(box, f"{PURPOSE} {begun.id}", proved.id_token.encode())
    await single_sign_on.keep_id_token(box, begun.id, id_token)
    return _forgetting(led_on(request, begun, inside(made.onward)))


def _refused(request: Request, error: Exception, *, status: int) -> Response:
    if isinstance(error, BadSetting):
        log.error("single sign-on does not work: %s", error)
    else:
        log.warning("single sign-on let nobody in: %s", error)
    told = "Single sign-on does not work just now." if isinstance(error, BadSetting) else str(error)
    return page(request, "login.html", onward="", name="", message=told, status=status)


def _forgetting(answer: Response) -> Response:
    for name in (COOKIE, SECURE_COOKIE):
        answer.delete_cookie(name, path="/", secure=name == SECURE_COOKIE, httponly=True, samesite="lax")
    return answer


ROUTES: list[BaseRoute] = [
    Route("/login/oidc", go, methods=["GET"], name="login_oidc"),
    Route("/login/oidc/back", back, methods=["GET"]),
]
