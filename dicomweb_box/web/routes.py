"""The addresses of the pages."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.web import (
    audit,
    correct,
    erase,
    events,
    health,
    held,
    instances,
    labels,
    login,
    login_code,
    login_oidc,
    ohif,
    patients,
    peer_query,
    peers,
    profile,
    reject,
    roles,
    rules,
    second_factor,
    selections,
    series,
    shares,
    signed,
    status,
    studies,
    tokens,
    transfers,
    upload,
    users,
    viewer,
    worklist,
)
from dicomweb_box.web.static import static


async def home(request: Request) -> Response:
    """The way to the first page."""
    return RedirectResponse("/studies", 303)


def routes() -> list[BaseRoute]:
    """Every page, its twin for programs, and what watches the box."""
    return [
        Route("/", home, name="home"),
        # /login, /logout, /profile: who somebody is here
        *login.ROUTES,
        *login_code.ROUTES,
        *login_oidc.ROUTES,
        *profile.ROUTES,
        # /users, /roles, /tokens: who may do what
        *users.ROUTES,
        *roles.ROUTES,
        *tokens.ROUTES,
        # /shares, /shared: links that show a part to whoever has them
        *shares.ROUTES,
        # /worklist: what is to be done, for modalities
        *worklist.ROUTES,
        # /peers: DICOM systems that may call and be called
        *peers.ROUTES,
        # /signed: addresses that carry their own proof
        *signed.ROUTES,
        *second_factor.ROUTES,
        # /studies: what the archive holds
        *studies.ROUTES,
        *instances.ROUTES,
        *viewer.ROUTES,
        # /correct, /corrections, /reject, /rejected, /erase: care of the data
        *correct.ROUTES,
        *reject.ROUTES,
        *erase.ROUTES,
        *series.ROUTES,
        # /patients: the same by whose it is
        *patients.ROUTES,
        # /selections: what somebody ticked
        *selections.ROUTES,
        # /labels: words on studies and series
        *labels.ROUTES,
        # /rules: what gives labels by itself
        *rules.ROUTES,
        # /held, /disagreements: what waits for a decision
        *held.ROUTES,
        # /upload: files that people bring
        *upload.ROUTES,
        # /transfers: what goes to peers and comes from them
        *transfers.ROUTES,
        # /query, /peers/{name}/query: what other archives hold
        *peer_query.ROUTES,
        # /audit: who did what
        *audit.ROUTES,
        # /status: what the archive holds, and how it fares; /events: that something changed
        *status.ROUTES,
        Route("/events", events.events, name="events"),
        # /ohif: the viewer
        Route("/ohif", ohif.entrance),
        Route(f"/ohif/{ohif.MANIFEST}", ohif.ohif),
        Route("/ohif/{path:path}", ohif.ohif, name="ohif"),
        # for those who watch
        Route("/healthz", health.healthz),
        Route("/readyz", health.readyz),
        Route("/metrics", health.metrics),
        Route("/static/{digest}/{path:path}", static, name="static"),
    ]
