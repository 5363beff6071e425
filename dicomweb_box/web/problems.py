"""Errors as people read them: a page with a way back; never a traceback."""

from starlette.requests import Request
from starlette.responses import Response

from dicomweb_box.asgi.errors import Fault
from dicomweb_box.web.page import page

TITLES = {
    400: "This cannot be understood",
    403: "This is not allowed",
    404: "There is nothing here",
    405: "This cannot be done here",
    409: "This does not fit what is there now",
    410: "This was rejected",
    413: "This is too large",
    503: "Not possible just now",
}


def error_page(request: Request, fault: Fault) -> Response:
    """The page that says what went wrong."""
    sentence = fault.sentence[:1].upper() + fault.sentence[1:]
    title = TITLES.get(fault.status, "This did not work")
    answer = page(
        request, "error.html", status=fault.status, title=title, sentence=sentence, gone=fault.status == 410
    )
    answer.headers.update(fault.headers)
    return answer
