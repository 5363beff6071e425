"""Each page has a twin for programs: the same resource as JSON, at the page's address with `.json` behind it,
or at the page's own address where Accept likes JSON better than HTML.
"""

from dataclasses import asdict, is_dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from dicomweb_box.web.page import HEADERS

_NO_STORE = {"Cache-Control": "no-store", "Vary": "Accept, HX-Request"}


def for_programs(request: Request) -> bool:
    """Whether the answer is to be JSON."""
    if request.url.path.endswith(".json"):
        return True
    accept = request.headers.get("accept", "")
    return "json" in accept and "text/html" not in accept


def as_json(resource: Any, status: int = 200, *, location: str | None = None) -> Response:
    """The resource for programs: a dataclass, or anything that JSON can hold; dates as ISO 8601 texts."""
    headers = _NO_STORE | ({"Location": location} if location else {})
    content = orjson.dumps(resource, default=_plain)
    return Response(content, status, media_type="application/json", headers=headers)


def done(request: Request, location: str, *, resource: Any = None, status: int = 200) -> Response:
    """The answer to a change that succeeded.

    Programs get the resource with `status` (201 with Location where something was made), people are led to
    `location` by 303; htmx follows with its own headers, and gets the fragment there.
    """
    if for_programs(request):
        return as_json(resource or {}, status, location=location if status == 201 else None)
    return RedirectResponse(location, 303, headers=HEADERS)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
