"""A page that is a list: whole, its rows alone for htmx, or as JSON."""

from dataclasses import replace
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from dicomweb_box.archive.browse_order import sorts
from dicomweb_box.archive.unidentified import BY_UID
from dicomweb_box.asgi.identity import identify
from dicomweb_box.errors import BadQuery
from dicomweb_box.web import lists
from dicomweb_box.web.lists import Table
from dicomweb_box.web.page import page, wants_fragment
from dicomweb_box.web.selected import selected
from dicomweb_box.web.twins import as_json, for_programs
from dicomweb_box.web.views import View, open_view, view_of


async def answer(
    request: Request,
    level: Literal["study", "series"],
    path: str,
    *,
    template: str = "lists/index.html",
    patient: tuple[str, str] | None = None,
    more: dict[str, Any] | None = None,
) -> Response:
    """The list that the request's address asks for; what it says wrongly is told beside the field."""
    view, message = _view(request, level, path)
    view = _open(request, replace(view, patient=patient))
    found = Table(view=view, message=message)
    if message is None:
        try:
            found = await lists.table(request, view)
        except BadQuery as error:
            found = Table(view=view, message=str(error))
    if for_programs(request):
        return _for_programs(found, more or {})
    offers = {} if wants_fragment(request) else await lists.form(request, view)
    response = page(
        request,
        template,
        fragment="rows",
        status=200 if found.message is None else 400,
        table=found,
        view=view,
        partial=wants_fragment(request),
        selection=await selected(request),
        sortable=sorts(level) if view.identities else (BY_UID, "size"),
        **offers,
        **(more or {}),
    )
    if wants_fragment(request):
        # Typed word by word: the address follows, the history does not grow.
        response.headers["HX-Replace-Url"] = view.address
    return response


def _view(request: Request, level: Literal["study", "series"], path: str) -> tuple[View, str | None]:
    pairs = request.query_params.multi_items()
    try:
        return view_of(level, path, pairs), None
    except BadQuery as error:
        kept = [(name, value) for name, value in pairs if name not in ("orderby", "limit")]
        return view_of(level, path, kept), str(error)


def _open(request: Request, view: View) -> View:
    """The view without what tells who patients are, where that may not be seen."""
    _, scope = identify(request)
    if scope.identities:
        return view
    return open_view(view, ordered="orderby" in request.query_params)


def _for_programs(found: Table, more: dict[str, Any]) -> Response:
    if found.message is not None:
        raise BadQuery(found.message)
    return as_json(lists.resource(found) | {name: value for name, value in more.items() if name == "patient"})
