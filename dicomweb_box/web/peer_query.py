"""Questions to peers, and bringing studies here: a form, what the peer answers, and "Bring here".

For who sees the whole archive: what another archive holds is in nobody's part of this one.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.asgi.identity import identify
from dicomweb_box.dicom.remote_query import remote_query
from dicomweb_box.dicom.uids import clean_uid
from dicomweb_box.errors import BadQuery, BadRequest, Forbidden, PeerRefused, PeerUnreachable
from dicomweb_box.outbound import bringing, dimse_scu, peers, transfers
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.web import words
from dicomweb_box.web.forms import posted
from dicomweb_box.web.page import HEADERS, page
from dicomweb_box.web.twins import as_json, done, for_programs

MOST_SHOWN = 200
PATIENCE = 25.0
"""Seconds that a page waits for a peer."""
AT_ONCE = 4
"""Questions of a process; who comes then waits for a turn as long as for an answer."""
FIELDS = ("PatientName", "PatientID", "AccessionNumber", "ModalitiesInStudy")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}|\d{8}")


class _Turns:
    """How many questions of this process are under way."""

    def __init__(self, box: Any) -> None:
        del box
        self.free = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """Nothing to let go of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """A study at a peer, as its row shows it."""

    study_uid: str
    patient: str
    patient_id: str
    day: str
    modalities: str
    description: str
    accession: str
    instances: str
    here: bool


async def first(request: Request) -> Response:
    """The way to the peer that there is, or the list of those to choose from."""
    _require_whole(request)
    found = await _askable(request)
    if for_programs(request):
        return as_json({"peers": [one.name for one in found]})
    if len(found) == 1:
        return RedirectResponse(_address(found[0]), 303, headers=HEADERS)
    return page(request, "query/index.html", peers=found)


async def ask(request: Request) -> Response:
    """The form, and what the peer answers where something is asked for."""
    _require_whole(request)
    peer, box = await _peer(request), request.app.state.box
    keys: dict[str, str] = {}
    rows: Sequence[Mapping[str, Any]] = ()
    more, message = False, ""
    try:
        keys = _keys(request)
        if keys:
            found = await _asked(request, peer, keys)
            rows, more = found.rows, found.more
    except (BadQuery, PeerRefused, PeerUnreachable) as error:
        if for_programs(request):
            raise
        message = str(error)
    if for_programs(request):
        return as_json({"peer": peer.name, "studies": rows, "more": more})
    known = await bringing.studies_here(box, [str(words.first(row, "0020000D") or "") for row in rows])
    return page(
        request,
        "query/show.html",
        fragment="answers",
        peer=peer,
        peers=await _askable(request),
        studies=[_remote(row, known) for row in rows],
        asked=bool(keys) and not message,
        given=request.query_params,
        more=more,
        message=message,
        status=422 if message and not keys else 200,
    )


async def bring(request: Request) -> Response:
    """Bring the posted studies here: `study`, any number of times."""
    _require_whole(request)
    peer, fields = await _peer(request), await posted(request)
    actor, scope = identify(request)
    uids = list(dict.fromkeys(fields.all("study")))
    if not uids:
        raise BadRequest("Say which studies to bring here, as study.")
    if len(uids) > bringing.MOST_STUDIES:
        raise BadRequest(f"At most {bringing.MOST_STUDIES} studies can be brought at a time.")
    if not all(clean_uid(uid.encode("utf-8")) for uid in uids):
        raise BadRequest("A study is named by its Study Instance UID.")
    key = await bringing.bring(request.app.state.box, peer, uids, actor=actor, scope=scope)
    made = await transfers.transfer(request.app.state.box, key, scope=scope, actor=actor)
    return done(request, f"/transfers/{key}", resource=transfers.resource(made), status=201)


async def _asked(request: Request, peer: Peer, keys: Mapping[str, str]) -> dimse_scu.Found:
    box, (actor, _) = request.app.state.box, identify(request)
    asked = remote_query("study", keys)
    entry = audit.Entry(actor=actor, action=Action.SEARCH, about={"peer": peer.name, "keys": sorted(keys)})
    await audit.recorded(box, entry)
    try:
        async with asyncio.timeout(PATIENCE), box.resource(_Turns, _Turns).free:
            return await dimse_scu.query(box, peer, asked, most=MOST_SHOWN)
    except TimeoutError:
        raise PeerUnreachable(f"The peer did not answer within {PATIENCE:g} seconds.") from None


def _keys(request: Request) -> dict[str, str]:
    """What the address asks for; raises BadQuery. Programs may name any attribute."""
    given = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
    begin, end = given.pop("from", ""), given.pop("to", "")
    for name, text in (("from", begin), ("to", end)):
        if text and not _DAY.fullmatch(text):
            raise BadQuery(f"{name} is a day, as 2026-01-31.")
    if begin or end:
        begin, end = begin.replace("-", ""), end.replace("-", "")
        given["StudyDate"] = begin if begin == end else f"{begin}-{end}"
    name = given.get("PatientName", "")
    if name and not for_programs(request) and "*" not in name:
        # As people write it: `doe, jane`, and beginnings are enough.
        given["PatientName"] = "^".join(part.strip() for part in name.split(",", 1)) + "*"
    if not given and (for_programs(request) or request.query_params):
        raise BadQuery("Fill in at least one field: nobody wants all that an archive holds.")
    remote_query("study", given)
    return given


def _remote(row: Mapping[str, Any], known: set[str]) -> Remote:
    def text(tag: str) -> str:
        return str(words.first(row, tag) or "")

    study_uid = text("0020000D")
    return Remote(
        study_uid=study_uid,
        patient=words.person(words.first(row, "00100010")),
        patient_id=text("00100020"),
        day=words.day(words.first(row, "00080020")),
        modalities=words.listed(words.values(row, "00080061")),
        description=text("00081030"),
        accession=text("00080050"),
        instances=text("00201208"),
        here=study_uid in known,
    )


async def _askable(request: Request) -> Sequence[Peer]:
    return [one for one in await peers.every(request.app.state.box) if one.host is not None]


async def _peer(request: Request) -> Peer:
    return await peers.by_name(request.app.state.box, request.path_params["name"])


def _address(peer: Peer) -> str:
    return f"/peers/{quote(peer.name)}/query"


def _require_whole(request: Request) -> None:
    if not identify(request)[1].whole:
        raise Forbidden("Other archives are asked by those who see all of this one.")


ROUTES: list[BaseRoute] = [
    Route("/query", first, methods=["GET"], name="query"),
    Route("/query.json", first, methods=["GET"]),
    Route("/peers/{name}/query.json", ask, methods=["GET"]),
    Route("/peers/{name}/query", ask, methods=["GET"], name="peer_query"),
    Route("/peers/{name}/retrieve", bring, methods=["POST"]),
]
