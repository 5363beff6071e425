"""Errors as people read them: a page with a way back; never a traceback."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from dicomweb_box.asgi.errors import Fault
from dicomweb_box.asgi.identity import KEY
from dicomweb_box.web.page import HEADERS, page

TITLES = {
    400: "This cannot be understood",
    401: "Who asks is not known",
    403: "This is not allowed",
    404: "There is nothing here",
    405: "This cannot be done here",
    409: "This does not fit what is there now",
    410: "This was rejected",
    413: "This is too large",
    429: "Too often",
    503: "Not possible just now",
}


def error_page(request: Request, fault: Fault) -> Response:
    """The page that says what went wrong; the way to log in where that is what is missing."""
    if fault.status == 401 and "authorization" not in request.headers:
        onward = request.url.path if request.method == "GET" else ""
        if request.method == "GET" and request.url.query:
            onward += f"?{request.url.query}"
        return RedirectResponse(f"/login?{urlencode({'next': onward})}", 303, headers=HEADERS)
    found = request.scope.get(KEY)
    if fault.status == 403 and found is not None and found.must_change:
        return RedirectResponse("/profile", 303, headers=HEADERS)
    if fault.status == 403 and found is not None and found.must_enrol:
        return RedirectResponse("/profile/second-factor", 303, headers=HEADERS)
    sentence = fault.sentence[:1].upper() + fault.sentence[1:]
    title = TITLES.get(fault.status, "This did not work")
    answer = page(
        request, "error.html", status=fault.status, title=title, sentence=sentence, gone=fault.status == 410
    )
    answer.headers.update(fault.headers)
    return answer
