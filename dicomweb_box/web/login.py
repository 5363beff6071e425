"""Logging in and out: a form, and a cookie."""

import secrets
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts import sessions, shares
from dicomweb_box.accounts.access import NOBODY
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.accounts.sessions import Begun
from dicomweb_box.asgi.authentication import COOKIE, LINK_COOKIE, SECURE_COOKIE, SECURE_LINK_COOKIE
from dicomweb_box.asgi.hosts import is_secure
from dicomweb_box.asgi.identity import KEY, address_of, identity_of
from dicomweb_box.errors import TooMany
from dicomweb_box.web.forms import posted
from dicomweb_box.web.page import page
from dicomweb_box.web.provider import way_out
from dicomweb_box.web.twins import as_json, done, for_programs

HOME = "/studies"
DEVICE_COOKIE = "dicomweb_box_device"


async def ask(request: Request) -> Response:
    """The form; whoever has logged in already is led on."""
    onward = inside(request.query_params.get("next", ""))
    if identity_of(request).account is not None:
        return done(request, onward)
    return page(request, "login.html", onward=onward, name="", message="")


async def take(request: Request) -> Response:
    """Log in: 303 with a cookie, or the form again (401, 429)."""
    fields = await posted(request)
    name, onward = fields.one("name"), inside(fields.one("next"))
    password = (fields.values.get("password") or [""])[0]
    where: dict[str, Any] = {
        "address": address_of(request),
        "agent": request.headers.get("user-agent", ""),
        "device": device_of(request),
    }
    try:
        begun = await sessions.log_in(request.app.state.box, name, password, **where)
    except TooMany as error:
        answer = page(
            request,
            "login.html",
            onward=onward,
            name=name,
            message=f"{error} ({error.seconds} s)",
            status=429,
        )
        answer.headers["Retry-After"] = str(error.seconds)
        return answer
    if begun is None:
        return page(
            request,
            "login.html",
            onward=onward,
            name=name,
            message="Name and password do not fit.",
            status=401,
        )
    answer = led_on(request, begun, onward)
    know_again(request, answer, where["device"])
    return answer


def device_of(request: Request) -> str:
    """The secret by which a browser is known again, so that whoever guesses beside it does not hold it up."""
    return request.cookies.get(DEVICE_COOKIE, "")[:64] or secrets.token_urlsafe(16)


def know_again(request: Request, answer: Response, device: str) -> None:
    """Give the browser that secret."""
    answer.set_cookie(
        DEVICE_COOKIE,
        device,
        path="/login",
        secure=is_secure(request),
        httponly=True,
        samesite="strict",
        max_age=400 * 24 * 3600,
    )


def led_on(request: Request, begun: Begun, onward: str) -> Response:
    """To where somebody wanted to go, or to the second step, with the cookie of a new log-in."""
    location = onward if begun.complete else f"/login/code?{urlencode({'next': onward})}"
    answer = done(request, location, resource={"complete": begun.complete})
    set_cookie(request, answer, begun.secret)
    _forget_link(answer)
    return answer


async def leave(request: Request) -> Response:
    """Log out: the log-in ends for the server too."""
    identity = identity_of(request)
    if identity.link is not None:
        return await _leave_link(request)
    out = None
    if identity.session is not None and identity.account is not None:
        out = await way_out(request, identity.session)
        await sessions.end(
            request.app.state.box,
            identity.session,
            account=identity.account,
            actor=identity.actor,
            action=Action.LOG_OUT,
        )
    answer = _left(request, out)
    # What a browser kept of pages goes with it (Clear-Site-Data is heeded over https alone).
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    for name in (COOKIE, SECURE_COOKIE, "selection"):
        answer.delete_cookie(name, path="/", secure=name == SECURE_COOKIE, httponly=True, samesite="lax")
    return answer


def _left(request: Request, out: str | None) -> Response:
    """To the form; or to the provider of single sign-on, where one is still logged in."""
    if out is None:
        return done(request, "/login")
    if for_programs(request):
        return as_json({"end_session": out})
    request.scope[KEY] = NOBODY
    answer = page(request, "logged_out.html", out=out)
    # Not as a redirection: our policy keeps forms, and where they lead, within this site.
    answer.headers["Refresh"] = f"0; url={out}"
    return answer


async def _leave_link(request: Request) -> Response:
    """Close a share link: whoever has logged in beside it is themselves again."""
    for name in (LINK_COOKIE, SECURE_LINK_COOKIE):
        if secret := request.cookies.get(name):
            await shares.close(request.app.state.box, secret)
    answer = done(request, "/login")
    _forget_link(answer)
    return answer


def _forget_link(answer: Response) -> None:
    for name in (LINK_COOKIE, SECURE_LINK_COOKIE):
        secure = name == SECURE_LINK_COOKIE
        answer.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="lax")


def set_cookie(request: Request, answer: Response, secret: str) -> None:
    """Give the browser its log-in; it ends with the browser, or when the server says so."""
    secure = is_secure(request)
    name = SECURE_COOKIE if secure else COOKIE
    answer.set_cookie(name, secret, path="/", secure=secure, httponly=True, samesite="lax")


def inside(address: str) -> str:
    """An address of ours to go on to; the first page for any other."""
    if (
        not address.startswith("/")
        or address.startswith(("//", "/\\", "/login"))
        or not address.isprintable()
    ):
        return HOME
    return address


ROUTES: list[BaseRoute] = [
    Route("/login", ask, methods=["GET"], name="login"),
    Route("/login", take, methods=["POST"]),
    Route("/logout", leave, methods=["POST"], name="logout"),
]
