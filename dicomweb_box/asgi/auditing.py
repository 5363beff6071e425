"""Notes who looked at what, by route: nothing that a handler has to think of."""

import re
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicomweb_box.accounts.access import Actor, Identity
from dicomweb_box.accounts.audit_reads import reads
from dicomweb_box.accounts.audit_words import Action, Outcome
from dicomweb_box.asgi.errors import fault_of
from dicomweb_box.asgi.identity import KEY, address_of
from dicomweb_box.box import Box

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_LONGEST_UID = 64
_SAFE = ("GET", "HEAD")
PEER = "dicomweb_box.peer"
"""Where a request keeps the name of the peer that it reads."""
_RECORDED = (Action.EXPORT,)


class Noted:
    """A route's application whose answers are noted under an action of the audit."""

    def __init__(self, app: ASGIApp, actions: dict[str, Action | None]) -> None:
        self.app = app
        self.actions = actions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; note what came of it once the answer begins."""
        action = self.actions.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if action is None:
            await self.app(scope, receive, send)
            return
        status = 0

        async def watching(message: Message) -> None:
            nonlocal status
            if not status:
                status = message.get("status", 0)
            await send(message)

        try:
            await self.app(scope, receive, watching)
        except Exception as error:
            status = status or fault_of(error, method=scope["method"]).status
            raise
        finally:
            _note(scope, action, status)


def _note(scope: Scope, action: Action, status: int) -> None:
    outcome = outcome_of(status)
    # A change that was made is recorded by who made it, as an export is that was given.
    if outcome is None or (outcome == "success" and (action in _RECORDED or scope["method"] not in _SAFE)):
        return
    box: Box = scope["app"].state.box
    identity: Identity = scope[KEY]
    reads(box).note(identity.actor, action, outcome, _study(scope), peer=scope.get(PEER, ""))


def outcome_of(status: int) -> Outcome | None:
    """What a status says; None where nothing was told or refused (redirections, malformed requests)."""
    if 200 <= status < 300 or status == 304:
        return "success"
    if status in (401, 403, 429):
        return "refused"
    if status in (404, 410):
        return "not found"
    return "failed" if status >= 500 else None


def _study(scope: Scope) -> str:
    parameters: dict[str, Any] = scope.get("path_params", {})
    found = parameters.get("study") or parameters.get("study_uid") or ""
    if not found and scope["path"] == "/wado":
        found = parse_qs(scope["query_string"].decode("latin-1")).get("studyUID", [""])[0]
    # What stands in an address may be anything; only a UID is kept.
    return found if len(found) <= _LONGEST_UID and _UID.fullmatch(found) else ""


def note_unproved(scope: Scope) -> None:
    """Note a token that is not valid (any more)."""
    actor = Actor(name="", kind="anonymous", address=address_of(HTTPConnection(scope)))
    reads(scope["app"].state.box).note(actor, Action.LOG_IN, "refused")
