"""Answers for people: a page from its template, or one block of it."""

import functools
from functools import partial
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dicomweb_box import __version__
from dicomweb_box.accounts.access import NOBODY, Identity
from dicomweb_box.accounts.rights import Right
from dicomweb_box.asgi.identity import KEY
from dicomweb_box.asgi.rights_table import may_ask
from dicomweb_box.assets import TEMPLATES, static_url
from dicomweb_box.dicom.words.readable import sop_class
from dicomweb_box.web import words

# What else every page carries (its Content-Security-Policy above all) is added by `asgi.headers`.
HEADERS = {"Cache-Control": "no-store", "Vary": "HX-Request"}

NAVIGATION = (
    ("/studies", "Studies"),
    ("/patients", "Patients"),
    ("/series", "Series"),
    ("/upload", "Upload"),
    ("/query", "Query"),
    ("/worklist", "Worklist"),
    ("/labels", "Labels"),
    ("/rules", "Rules"),
)
"""Address and name of what every page leads to, in the order of the bar."""
ADMINISTRATION = (
    ("/held", "Decisions"),
    ("/corrections", "Corrections"),
    ("/rejected", "Rejected"),
    ("/users", "Users"),
    ("/roles", "Roles"),
    ("/tokens", "Tokens"),
    ("/shares", "Shares"),
    ("/peers", "Peers"),
    ("/transfers", "Transfers"),
    ("/audit", "Audit"),
    ("/status", "Status"),
)
"""The same of the menu at its end."""
_OF_THE_WHOLE = frozenset({"/query", "/worklist", "/rules", "/peers", "/audit", "/status"})
"""What is only for those who see the whole archive."""


def page(
    request: Request, template: str, *, fragment: str | None = None, status: int = 200, **context: Any
) -> Response:
    """The page of a template; only its block `fragment` where htmx asks for a part."""
    chosen = _environment().get_template(template)
    identity: Identity = request.scope.get(KEY, NOBODY)
    context |= {
        "request": request,
        "path": request.url.path,
        "identity": identity,
        "may": partial(may_ask, identity),
        "navigation": _offered(identity, NAVIGATION),
        "administration": _offered(identity, ADMINISTRATION),
    }
    if fragment is not None and wants_fragment(request):
        content = "".join(chosen.blocks[fragment](chosen.new_context(context)))
    else:
        content = chosen.render(context)
    return HTMLResponse(content, status, headers=HEADERS)


def _offered(identity: Identity, entries: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """What of it somebody is answered; one's own tokens only to who has rights and an account."""
    own = {"/tokens"} if not identity.rights or not _has_own(identity) else set()
    refused = own if identity.scope.whole else own | _OF_THE_WHOLE
    return [(to, name) for to, name in entries if may_ask(identity, f"GET {to}") and to not in refused]


def _has_own(identity: Identity) -> bool:
    return identity.account is not None or identity.may(Right.ADMINISTER)


def wants_fragment(request: Request) -> bool:
    """Whether the request is htmx's own, for a part of a page (not a boosted link, not its history)."""
    headers = request.headers
    return (
        headers.get("hx-request") == "true"
        and "hx-boosted" not in headers
        and "hx-history-restore-request" not in headers
        and headers.get("hx-request-type") != "full"
    )


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "static_url": static_url,
        "program_version": __version__,
    }
    environment.filters |= {
        "first": words.first,
        "several": words.values,
        "moment": words.moment,
        "person": words.person,
        "day": words.day,
        "clock": words.clock,
        "listed": words.listed,
        "number": words.number,
        "size": words.size,
        "sop_class": sop_class,
        "value": words.first,
        "keyword": words.keyword,
    }
    return environment
