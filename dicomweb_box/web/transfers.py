"""Transfers: what one asked to be sent and brought, how far it is, and what to do about it."""

from dataclasses import asdict, replace
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.asgi.identity import identify
from dicomweb_box.errors import BadQuery
from dicomweb_box.outbound import confirmations, steering, transfers
from dicomweb_box.outbound.transfers import STATES, Item, State, Transfer
from dicomweb_box.web import transfer_events
from dicomweb_box.web.forms import posted
from dicomweb_box.web.page import page
from dicomweb_box.web.twins import as_json, done, for_programs

ON_A_PAGE = 50
ITEMS_ON_A_PAGE = 200
WORDS = {"send": "Send", "retrieve": "Bring here", "commitment": "Report of commitment"}
ASKING = "Ask whether it is kept"
MEANING: dict[State, str] = {
    "queued": "waiting",
    "sending": "on its way",
    "delivered": "delivered",
    "refused": "refused",
    "failed": "failed",
    "withdrawn": "withdrawn",
}


async def index(request: Request) -> Response:
    """The newest transfers, one's own or everybody's for who administers."""
    actor, scope = identify(request)
    box = request.app.state.box
    before = _place(request.query_params.get("before", ""))
    found = await transfers.listed(box, scope=scope, actor=actor, before=before, most=ON_A_PAGE + 1)
    shown = found[:ON_A_PAGE]
    older = f"{shown[-1].created_at}_{shown[-1].id}" if len(found) > ON_A_PAGE else None
    if for_programs(request):
        more = f"/transfers.json?{urlencode({'before': older})}" if older else None
        return as_json({"transfers": [transfers.resource(one) for one in shown], "older": more})
    return page(
        request,
        "transfers/index.html",
        fragment="transfers",
        transfers=shown,
        older=f"/transfers?{urlencode({'before': older})}" if older else None,
        busy=before is None and any(one.open for one in shown),
        words=_words,
        meaning=MEANING,
    )


async def show(request: Request) -> Response:
    """One transfer, how far it is, and its items: all, or those of one state, behind a number."""
    found = await _one(request)
    state, after = _state(request), _number(request.query_params.get("after", "0"))
    rows = await transfers.items(
        request.app.state.box, found.id, state=state, after=after, most=ITEMS_ON_A_PAGE + 1
    )
    items = rows[:ITEMS_ON_A_PAGE]
    further = items[-1].number if len(rows) > ITEMS_ON_A_PAGE else None
    confirmation = await confirmations.of(request.app.state.box, found.id)
    if for_programs(request):
        more = {"item_list": [_item(one) for one in items], "after": further}
        return as_json(
            transfers.resource(found) | {"confirmation": confirmation and asdict(confirmation)} | more
        )
    return page(
        request,
        "transfers/show.html",
        fragment="transfer",
        transfer=found,
        confirmation=confirmation,
        busy=found.open or (confirmation is not None and confirmation.open),
        items=items,
        state=state,
        states=[one for one in STATES if getattr(found, one)],
        further=f"{_address(found)}?{urlencode(_query(state, further))}" if further else None,
        here=f"{_address(found)}?{urlencode(_query(state, after))}",
        words=_words,
        meaning=MEANING,
    )


async def cancel(request: Request) -> Response:
    """Withdraw what has not been begun."""
    actor, scope = identify(request)
    await steering.cancel(request.app.state.box, request.path_params["id"], scope=scope, actor=actor)
    return await _changed(request)


async def retry(request: Request) -> Response:
    """Try again what was not delivered."""
    actor, scope = identify(request)
    await steering.retry(request.app.state.box, request.path_params["id"], scope=scope, actor=actor)
    return await _changed(request)


async def hold(request: Request) -> Response:
    """Hold it where `paused` is true, else let it go on."""
    actor, scope = identify(request)
    paused = (await posted(request)).flag("paused")
    await steering.pause(
        request.app.state.box, request.path_params["id"], paused=paused, scope=scope, actor=actor
    )
    return await _changed(request)


def _words(one: Transfer) -> str:
    return ASKING if one.asks else WORDS[one.kind]


def _item(item: Item) -> dict[str, Any]:
    kept = replace(item)
    return {name: getattr(kept, name) for name in Item.__dataclass_fields__}


async def _changed(request: Request) -> Response:
    found = await _one(request)
    return done(request, _address(found), resource=transfers.resource(found))


async def _one(request: Request) -> Transfer:
    actor, scope = identify(request)
    return await transfers.transfer(
        request.app.state.box, request.path_params["id"], scope=scope, actor=actor
    )


def _address(found: Transfer) -> str:
    return f"/transfers/{found.id}"


def _query(state: State | None, after: int) -> dict[str, str]:
    return ({"state": state} if state else {}) | ({"after": str(after)} if after else {})


def _state(request: Request) -> State | None:
    given = request.query_params.get("state", "")
    found = next((one for one in STATES if one == given), None)
    if given and found is None:
        raise BadQuery(f"state is one of {', '.join(STATES)}.")
    return found


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadQuery("after is the number of an item.")
    return int(text)


def _place(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    at, mark, key = text.partition("_")
    if not mark or len(text) > 80 or "\0" in text:
        raise BadQuery("before is a place in this list, as a page of it gave it.")
    return at, key


ROUTES: list[BaseRoute] = [
    Route("/transfers", index, methods=["GET"], name="transfers"),
    Route("/transfers.json", index, methods=["GET"]),
    Route("/transfers/events", transfer_events.events, methods=["GET"]),
    Route("/transfers/{id}.json", show, methods=["GET"]),
    Route("/transfers/{id}", show, methods=["GET"], name="transfer"),
    Route("/transfers/{id}/cancel", cancel, methods=["POST"]),
    Route("/transfers/{id}/retry", retry, methods=["POST"]),
    Route("/transfers/{id}/hold", hold, methods=["POST"]),
]
