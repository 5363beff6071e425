"""The provider of single sign-on as the pages reach it, and the way out of it."""

import logging
from typing import TYPE_CHECKING

from starlette.requests import Request

from dicomweb_box.accounts import keys
from dicomweb_box.errors import BadSetting, Damaged, NotFound, Unauthenticated

if TYPE_CHECKING:
    from dicomweb_box.accounts.oidc import Provider

log = logging.getLogger(__name__)

PURPOSE = "id token"


def provider_of(request: Request) -> "Provider":
    """The provider; raises NotFound where the settings name none."""
    if request.app.state.box.settings.oidc_issuer is None:
        raise NotFound("There is no single sign-on here.")
    # Imported only where it is used: several MiB that a box without single sign-on never needs.
    from dicomweb_box.accounts import oidc

    return oidc.provider(request.app.state.box)


async def way_out(request: Request, session: str) -> str | None:
    """Where to log out at the provider as well, for a log-in that came by it; None without such a place."""
    box = request.app.state.box
    if box.settings.oidc_issuer is None:
        return None
    sealed = await box.database.fetch_value("select id_token from session where id = :id", {"id": session})
    if sealed is None:
        return None
    try:
        id_token = (await keys.unseal(box, f"{PURPOSE} {session}", sealed)).decode()
        return await provider_of(request).leave(id_token, back=f"{here(request)}/login")
    except (Damaged, BadSetting, Unauthenticated) as error:
        log.warning("no way out of single sign-on: %s", error)
        return None


def here(request: Request) -> str:
    """How browsers reach us."""
    public = request.app.state.box.settings.public_url
    return (public or str(request.base_url)).rstrip("/")
