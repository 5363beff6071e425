"""Share links: making and revoking them, and what whoever has one sees first."""

from dataclasses import asdict
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts import granting, shares, tokens
from dicomweb_box.accounts.access import Identity
from dicomweb_box.accounts.rights import Right
from dicomweb_box.accounts.shares import Share
from dicomweb_box.archive.selections import Members
from dicomweb_box.archive.shared_part import part
from dicomweb_box.asgi.authentication import LINK_COOKIE, SECURE_LINK_COOKIE
from dicomweb_box.asgi.hosts import is_secure
from dicomweb_box.asgi.identity import address_of, identity_of
from dicomweb_box.errors import BadRequest, Conflict, Forbidden, NotFound, TooMany
from dicomweb_box.web import ohif
from dicomweb_box.web.forms import Fields, posted
from dicomweb_box.web.page import page
from dicomweb_box.web.targets import Targets, asked, targets
from dicomweb_box.web.twins import as_json, done, for_programs

LIVES = {"1d": "A day", "7d": "A week", "30d": "30 days", "90d": "90 days", "365d": "A year"}
DEFAULT_LIFE = "7d"
PAGE, VIEWER, OHIF = "page", "viewer", "ohif"
# The address is the secret: it is told to nobody. Not `no-referrer`, with which browsers say the Origin of a
# form to be `null`, so that on plain http it would look forged (Fetch 3.2).
_UNTOLD = {"Referrer-Policy": "strict-origin", "X-Robots-Tag": "noindex, nofollow"}


async def index(request: Request) -> Response:
    """One's links, for who administers all of them."""
    identity, box = identity_of(request), request.app.state.box
    found = await shares.every(box, account=_only(identity))
    if for_programs(request):
        return as_json(found)
    now = box.clock().isoformat(timespec="seconds")
    return page(request, "shares/index.html", shares=found, everybody=_only(identity) is None, now=now)


async def blank(request: Request) -> Response:
    """The form of a new link to what the query names."""
    return await _form(request, asked(request))


async def create(request: Request) -> Response:
    """Make a link to the posted studies, series or selection; its address is told in the answer alone."""
    identity, fields, box = _owner(request), await posted(request), request.app.state.box
    about = await targets(request, fields)
    members = Members(studies=about.studies, series=about.series)
    rights = {Right.SEE, Right.IDENTITIES} | ({Right.EXPORT} if fields.flag("export") else set())
    try:
        key, secret = await shares.make(
            box,
            fields.one("name") or _what(about),
            scope=await part(box, members, scope=identity.scope, actor=identity.actor),
            rights=rights,
            opens=_opens(about, fields.one("opens", PAGE)),
            expires=tokens.life(fields.one("expires", DEFAULT_LIFE)),
            password=(fields.values.get("password") or [""])[0],
            account=identity.account,
            actor=identity.actor,
            giver=granting.as_owner(identity),
        )
    except (BadRequest, Conflict, Forbidden) as error:
        if for_programs(request):
            raise
        return await _form(request, fields, error)
    root = (box.settings.public_url or str(request.base_url)).rstrip("/")
    made, address = await _one(request, key), f"{root}/shared/{secret}"
    if for_programs(request):
        return as_json(asdict(made) | {"address": address}, 201, location="/shares")
    return page(request, "shares/told.html", share=made, address=address, status=201)


async def confirm(request: Request) -> Response:
    """Whether to revoke a link."""
    return page(request, "shares/revoke.html", share=await _one(request, request.path_params["id"]))


async def revoke(request: Request) -> Response:
    """Let a link show nothing more."""
    identity, key = _owner(request), request.path_params["id"]
    await shares.revoke(request.app.state.box, key, actor=identity.actor, account=_only(identity))
    return done(request, "/shares")


async def ask(request: Request) -> Response:
    """What whoever has a link sees first: a button, so that no preview of a message opens it."""
    return _door(request, await shares.look(request.app.state.box, request.path_params["secret"]))


async def take(request: Request) -> Response:
    """Open a link: 303 with a cookie to what it shows, or the page again (401, 429)."""
    box, secret, fields = request.app.state.box, request.path_params["secret"], await posted(request)
    password = (fields.values.get("password") or [""])[0]
    try:
        opened = await shares.open_link(box, secret, password, address=address_of(request))
    except TooMany as error:
        answer = _door(request, await shares.look(box, secret), f"{error} ({error.seconds} s)", status=429)
        answer.headers["Retry-After"] = str(error.seconds)
        return answer
    if opened is None:
        return _door(request, await shares.look(box, secret), "This is not its password.", status=401)
    answer = done(request, opened.opens)
    answer.headers["Referrer-Policy"] = "no-referrer"
    secure = is_secure(request)
    name = SECURE_LINK_COOKIE if secure else LINK_COOKIE
    answer.set_cookie(name, opened.secret, path="/", secure=secure, httponly=True, samesite="lax")
    return answer


def _door(request: Request, share: Share, message: str = "", *, status: int = 200) -> Response:
    if for_programs(request) and message:
        return as_json({"error": message}, status)
    answer = page(request, "shares/door.html", share=share, message=message, status=status)
    answer.headers.update(_UNTOLD)
    return answer


def _owner(request: Request) -> Identity:
    """Who asks, if links may be theirs; raises Forbidden for a program without an account."""
    identity = identity_of(request)
    if identity.account is None and not identity.may(Right.ADMINISTER):
        raise Forbidden("Links belong to people: log in with an account.")
    return identity


def _only(identity: Identity) -> str | None:
    """The account whose links are meant; None: everybody's."""
    return None if identity.may(Right.ADMINISTER) and identity.scope.whole else identity.account or ""


async def _one(request: Request, key: str) -> Share:
    for one in await shares.every(request.app.state.box, account=_only(identity_of(request))):
        if one.id == key:
            return one
    raise NotFound("There is no such link.")


def _opens(about: Targets, kind: str) -> str:
    """The address of the page that a link opens."""
    studies = {*about.studies, *(study for study, _ in about.series)}
    if kind == OHIF:
        return ohif.address(",".join(sorted(studies)))
    if kind not in (PAGE, VIEWER):
        raise BadRequest(f"opens is {PAGE}, {VIEWER} or {OHIF}.")
    if len(studies) > 1:
        return "/studies"
    study = f"/studies/{studies.pop()}"
    single = about.series[0][1] if len(about.series) == 1 else ""
    if kind == VIEWER:
        return f"{study}/viewer" + (f"?{urlencode({'series': single})}" if single else "")
    return f"{study}/series/{single}" if single else study


def _what(about: Targets) -> str:
    """What it shows, in a few words."""
    counts = ((len(about.studies), "study", "studies"), (len(about.series), "series", "series"))
    return ", ".join(f"{number} {one if number == 1 else many}" for number, one, many in counts if number)


async def _form(request: Request, fields: Fields, error: Exception | None = None) -> Response:
    _owner(request)
    about = await targets(request, fields)
    return page(
        request,
        "shares/new.html",
        targets=about,
        what=_what(about),
        name=fields.one("name"),
        opens=fields.one("opens", PAGE),
        single=len({*about.studies, *(study for study, _ in about.series)}) == 1,
        ohif=await ohif.installed(request),
        lives=LIVES,
        life=fields.one("expires", DEFAULT_LIFE),
        export=fields.flag("export"),
        message="" if error is None else str(error),
        status=200 if error is None else 422,
    )


ROUTES: list[BaseRoute] = [
    Route("/shares", index, methods=["GET"], name="shares"),
    Route("/shares.json", index, methods=["GET"]),
    Route("/shares", create, methods=["POST"]),
    Route("/shares/new", blank, methods=["GET"], name="share_new"),
    Route("/shares/{id}", revoke, methods=["DELETE"]),
    Route("/shares/{id}/revoke", confirm, methods=["GET"], name="share_revoke"),
    Route("/shares/{id}/revoke", revoke, methods=["POST"]),
    Route("/shared/{secret}", ask, methods=["GET"], name="shared"),
    Route("/shared/{secret}", take, methods=["POST"]),
]
