"""What this browser has selected: a cookie names the selection, so that ticks on many pages come together."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from dicomweb_box.archive import selections
from dicomweb_box.archive.selections import KEPT_FOR, Members
from dicomweb_box.asgi.hosts import is_secure
from dicomweb_box.asgi.identity import identify
from dicomweb_box.errors import NotFound
from dicomweb_box.web.actions import Offer, offered
from dicomweb_box.web.targets import Targets

COOKIE = "selection"


@dataclass(frozen=True, kw_only=True)
class Selected:
    """The browser's selection as its bar shows it."""

    key: str | None = None
    studies: frozenset[str] = frozenset()
    series: frozenset[str] = frozenset()
    """As `<study uid>/<series uid>`."""
    actions: Sequence[Offer] = field(default=())

    @property
    def any(self) -> bool:
        """Whether something is selected."""
        return bool(self.studies or self.series)

    def holds(self, name: str, target: str) -> bool:
        """Whether a study or series is selected."""
        return target in (self.studies if name == "study" else self.series)


async def selected(request: Request) -> Selected:
    """The selection of the asking browser; an empty one where it has none."""
    key = request.cookies.get(COOKIE)
    if not key:
        return Selected()
    actor, scope = identify(request)
    try:
        found = await selections.members(request.app.state.box, key, scope=scope, actor=actor)
    except NotFound:
        return Selected()
    return of(key, found)


def of(key: str, found: Members) -> Selected:
    """The bar of a selection with these members."""
    return Selected(
        key=key,
        studies=frozenset(found.studies),
        series=frozenset(f"{study}/{series}" for study, series in found.series),
        actions=offered("selection", Targets(selection=key).query),
    )


def remember(request: Request, response: Response, key: str) -> None:
    """Name the selection to the browser; scripts and other sites' requests never see it."""
    response.set_cookie(
        COOKIE,
        key,
        max_age=int(KEPT_FOR.total_seconds()),
        path="/",
        httponly=True,
        samesite="lax",
        secure=is_secure(request),
    )
