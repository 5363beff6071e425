"""One's own second factor: set up with a picture, taken off with the password; new recovery codes."""

from typing import Any

import segno
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts import credentials, recovery_codes, second_factor
from dicomweb_box.accounts.second_factor import Offer
from dicomweb_box.accounts.users import Account
from dicomweb_box.asgi.identity import address_of, identity_of
from dicomweb_box.errors import BadRequest, Conflict
from dicomweb_box.web.forms import Fields, posted
from dicomweb_box.web.page import page
from dicomweb_box.web.profile import own
from dicomweb_box.web.twins import as_json, done, for_programs

WRONG_PASSWORD = "This is not the password."  # noqa: S105


async def show(request: Request) -> Response:
    """What there is: an offer to set one up, or what can be done with the one there is."""
    account = await own(request)
    if account.second_factor:
        return await _present(request, account)
    if account.single_sign_on:
        raise Conflict("This account logs in by single sign-on, which has its own second factor.")
    return _offered(request, account, await second_factor.offer(*_whose(request)))


async def enrol(request: Request) -> Response:
    """Set it up: the recovery codes, shown this once; or the same offer again (422)."""
    fields, account = await posted(request), await own(request)
    if account.second_factor:
        raise Conflict("This account has a second factor already.")
    offered = await second_factor.taken_up(*_whose(request), fields.one("offer"))
    if not await _proved(request, account, fields):
        return _offered(request, account, offered, messages={"password": WRONG_PASSWORD}, status=422)
    box, key, _ = _whose(request)
    try:
        identity = identity_of(request)
        codes = await second_factor.enrol(
            box,
            key,
            offered,
            fields.one("code"),
            actor=identity.actor,
            keep_session=identity.session,
        )
    except BadRequest as error:
        return _offered(request, account, offered, messages={"code": str(error)}, status=422)
    return _codes(request, codes)


async def renew(request: Request) -> Response:
    """New recovery codes, shown this once; the old ones are good no more."""
    fields, account = await posted(request), await own(request)
    if not await _proved(request, account, fields):
        return await _present(request, account, messages={"renew": WRONG_PASSWORD}, status=422)
    box, key, _ = _whose(request)
    return _codes(request, await second_factor.renew_codes(box, key, actor=identity_of(request).actor))


async def remove(request: Request) -> Response:
    """Log in by the password alone from now on."""
    fields, account = await posted(request), await own(request)
    if not await _proved(request, account, fields):
        return await _present(request, account, messages={"remove": WRONG_PASSWORD}, status=422)
    box, key, _ = _whose(request)
    await second_factor.remove(box, key, actor=identity_of(request).actor)
    return done(request, "/profile")


async def _proved(request: Request, account: Account, fields: Fields) -> bool:
    password = (fields.values.get("password") or [""])[0]
    box, address = request.app.state.box, address_of(request)
    return await credentials.proved(box, account.name, password, address=address) is not None


def _whose(request: Request) -> tuple[Any, str, str]:
    """The box, and the account that asks by its key and name; `own` has looked that there is one."""
    identity = identity_of(request)
    return request.app.state.box, identity.account or "", identity.actor.name


def _offered(request: Request, account: Account, offer: Offer, **more: Any) -> Response:
    if for_programs(request):
        if "messages" in more:
            return as_json({"error": " ".join(more["messages"].values())}, more["status"])
        return as_json({"secret": offer.secret, "address": offer.address, "offer": offer.sealed})
    context: dict[str, Any] = {
        "account": account,
        "offer": offer,
        # A picture in the page itself: at an address of its own the secret would be part of that address.
        "picture": segno.make(offer.address, error="m", micro=False).svg_data_uri(scale=5, light="white"),
        "must": identity_of(request).must_enrol,
        "messages": {},
    }
    return page(request, "second_factor_offer.html", **context | more)


async def _present(request: Request, account: Account, **more: Any) -> Response:
    if for_programs(request) and "messages" in more:
        return as_json({"error": " ".join(more["messages"].values())}, more["status"])
    box, key, _ = _whose(request)
    left = await recovery_codes.left(box, key)
    if for_programs(request):
        return as_json({"second_factor": account.second_factor, "recovery_codes": left})
    context: dict[str, Any] = {"account": account, "left": left, "many": recovery_codes.MANY, "messages": {}}
    return page(request, "second_factor.html", **context | more)


def _codes(request: Request, codes: list[str]) -> Response:
    if for_programs(request):
        return as_json({"recovery_codes": codes}, 201)
    return page(request, "recovery_codes.html", codes=codes)


ROUTES: list[BaseRoute] = [
    Route("/profile/second-factor", show, methods=["GET"], name="second_factor"),
    Route("/profile/second-factor.json", show, methods=["GET"]),
    Route("/profile/second-factor", enrol, methods=["POST"]),
    Route("/profile/second-factor/codes", renew, methods=["POST"]),
    Route("/profile/second-factor/remove", remove, methods=["POST"]),
]
