"""Pages: the list of patients and one patient's studies; each with its JSON twin."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dicomweb_box.archive import browse_words, opaque, patients
from dicomweb_box.asgi.identity import identify
from dicomweb_box.errors import BadQuery, NotFound
from dicomweb_box.web import listing
from dicomweb_box.web.page import page
from dicomweb_box.web.twins import as_json, for_programs

PAGE_SIZE = 25
_PLACE = "place among patients"


async def index(request: Request) -> Response:
    """The patients by their IDs; with words, those of matching studies."""
    box = request.app.state.box
    actor, scope = identify(request)
    q = request.query_params.get("q", "").strip()
    found = await patients.page(
        box,
        words=browse_words.words_of(q),
        after=await _after(request),
        limit=PAGE_SIZE,
        scope=scope,
        actor=actor,
    )
    following = None
    if found.more:
        place = await opaque.seal(box, _PLACE, found.patients[-1].id)
        following = "?" + urlencode([*([("q", q)] if q else []), ("after", place)])
    if for_programs(request):
        further = f"/patients.json{following}" if following else None
        return as_json({"patients": found.patients, "cut": found.cut, "next": further})
    response = page(
        request,
        "patients/index.html",
        fragment="rows",
        patients=found.patients,
        cut=found.cut,
        q=q,
        is_first="after" not in request.query_params,
        following=f"/patients{following}" if following else None,
    )
    if request.headers.get("hx-request"):
        response.headers["HX-Replace-Url"] = f"/patients?{urlencode({'q': q})}" if q else "/patients"
    return response


async def show(request: Request) -> Response:
    """One patient's studies."""
    key = request.path_params["key"]
    actor, scope = identify(request)
    patient = await patients.named(request.app.state.box, key, scope=scope, actor=actor)
    return await listing.answer(
        request,
        "study",
        f"/patients/{key}",
        template="patients/show.html",
        patient=(patient.issuer, patient.id),
        more={"patient": patient},
    )


async def _after(request: Request) -> str:
    sealed = request.query_params.get("after")
    if not sealed:
        return ""
    try:
        return await opaque.unseal(request.app.state.box, _PLACE, sealed)
    except NotFound:
        raise BadQuery("after names no place in this list; begin with its first page.") from None


ROUTES = [
    Route("/patients", index, name="patients"),
    Route("/patients.json", index, name="patients_json"),
    Route("/patients/{key}.json", show, name="patient_json"),
    Route("/patients/{key}", show, name="patient"),
]
